import Tokenizers

/// A body of `/v1/embeddings`.
struct EmbeddingRequest {
  var prompts: [[TokenID]]
  /// Whether vectors are written as base64 of little-endian 32-bit floats.
  var isBase64: Bool

  init(_ json: JSON, _ served: ServedModel) throws(APIError) {
    var fields = try Fields(json)
    guard let value = fields.value("input") else { throw fields.missing("input") }
    try served.check(fields.string("model"), at: "model")
    isBase64 = try fields.choice("encoding_format", of: ["float", "base64"]) == "base64"
    try fields.refuse(
      "dimensions", unless: .integer(served.width),
      because: "this model's vectors have \(served.width) numbers")
    _ = try fields.string("user")
    try fields.finish()
    prompts = try PromptFields.prompts(value, at: "input", served)
    for (i, prompt) in prompts.enumerated() {
      try served.check(
        prompt: prompt, maxTokens: 0, at: prompts.count > 1 ? "input[\(i)]" : "input")
    }
  }
}

/// A body of `/tokenize`.
struct TokenizeRequest {
  var tokens: [TokenID]
  var showsPieces: Bool

  init(_ json: JSON, _ served: ServedModel) throws(APIError) {
    var fields = try Fields(json)
    try served.check(fields.string("model"), at: "model")
    let addSpecialTokens = try fields.bool("add_special_tokens")
    let addGenerationPrompt = try fields.bool("add_generation_prompt")
    showsPieces = try fields.bool("return_token_strs") ?? false
    if let text = try fields.string("prompt") {
      if addGenerationPrompt != nil { throw fields.missing("messages") }
      tokens = served.tokenizer.encode(text, addSpecialTokens: addSpecialTokens ?? true)
      try fields.finish()
    } else {
      guard fields.value("messages") != nil else { throw fields.missing("prompt") }
      if addSpecialTokens != nil { throw fields.missing("prompt") }
      let messages = try MessageFields.messages(&fields)
      let tools = try ToolFields(&fields)
      try fields.finish()
      tokens = try served.encode(
        messages, tools: tools.choice == .none ? [] : tools.tools,
        addGenerationPrompt: addGenerationPrompt ?? true)
    }
  }
}

/// A body of `/detokenize`.
struct DetokenizeRequest {
  var tokens: [TokenID]

  init(_ json: JSON, _ served: ServedModel) throws(APIError) {
    var fields = try Fields(json)
    try served.check(fields.string("model"), at: "model")
    guard let ids = try GenerationFields.tokens(&fields, "tokens", served) else {
      throw fields.missing("tokens")
    }
    tokens = ids
    try fields.finish()
  }
}
