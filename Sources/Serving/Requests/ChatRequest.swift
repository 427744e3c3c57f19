import Inference
import Tokenizers

/// A body of `/v1/chat/completions`.
struct ChatRequest {
  var generation: GenerationFields
  var prompt: [TokenID]
  var tools: ToolFields
  /// Alternatives shown for each token, where its probability is wanted.
  var logprobs: Int?

  init(_ json: JSON, _ served: ServedModel) throws(APIError) {
    var fields = try Fields(json)
    let messages = try MessageFields.messages(&fields)
    generation = try GenerationFields(
      &fields, served: served, maxTokensNames: ["max_completion_tokens", "max_tokens"])
    if generation.maxTokens == 0 {
      throw .invalid("max_tokens", "'max_tokens' is 0; expected an integer of at least 1")
    }
    tools = try ToolFields(&fields)
    logprobs = try Self.logprobs(&fields)
    let format = try ConstraintGrammar(responseFormat: &fields)
    if let format {
      guard generation.grammar == nil else {
        throw .invalid(
          "structured_outputs", "'structured_outputs' and 'response_format' exclude each other")
      }
      generation.grammar = format
    }
    let forced = Self.callGrammar(tools)
    if let forced {
      guard generation.grammar == nil else {
        throw .invalid(
          "tool_choice", "'tool_choice' asks for a call, the other fields for another format")
      }
      generation.grammar = forced
    }
    let addGenerationPrompt = try fields.bool("add_generation_prompt") ?? true
    var more: [JSON.Member] = []
    if let value = fields.value("chat_template_kwargs") {
      guard case .object(let members) = value else {
        throw fields.wrong("chat_template_kwargs", value, "an object")
      }
      let taken = ["messages", "tools", "add_generation_prompt"]
      if let member = members.first(where: { taken.contains($0.name) }) {
        throw .invalid(
          "chat_template_kwargs.\(member.name)", "'\(member.name)' is a field of the request itself"
        )
      }
      more = members
    }
    try fields.refuse("modalities", unless: ["text"], because: "this model writes text")
    try fields.refuse("audio", because: "this model writes text")
    try fields.refuse("prediction", because: "this server does not use predicted outputs")
    try fields.refuse("reasoning_effort", because: "this model's reasoning has no levels")
    try fields.refuse("verbosity", because: "this model's answers have no levels")
    try fields.refuse("web_search_options", because: "this server searches nothing")
    try fields.finish()
    prompt = try served.encode(
      messages, tools: tools.choice == .none ? [] : tools.tools,
      addGenerationPrompt: addGenerationPrompt, more: more)
    try served.check(prompt: prompt, maxTokens: generation.maxTokens, at: "messages")
  }

  private static func logprobs(_ fields: inout Fields) throws(APIError) -> Int? {
    let wanted = try fields.bool("logprobs") ?? false
    let top = try fields.integer("top_logprobs", in: 0...20)
    if top != nil, !wanted {
      throw .invalid("top_logprobs", "'top_logprobs' needs 'logprobs' to be true")
    }
    return wanted ? top ?? 0 : nil
  }

  /// The form of a call where `tool_choice` asks for one.
  private static func callGrammar(_ fields: ToolFields) -> ConstraintGrammar? {
    let allowed: [Tool]
    switch fields.choice {
    case .none, .auto: return nil
    case .required: allowed = fields.tools
    case .named(let name): allowed = fields.tools.filter { $0.name == name }
    }
    let schemas = allowed.map { tool -> JSON in
      [
        "type": "object",
        "properties": ["name": ["const": .string(tool.name)], "arguments": tool.parameters],
        "required": ["name", "arguments"], "additionalProperties": false,
      ]
    }
    return .jsonSchema(schemas.count == 1 ? schemas[0] : ["anyOf": .array(schemas)])
  }
}
