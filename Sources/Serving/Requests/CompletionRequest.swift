import Inference
import Tokenizers

/// A body of `/v1/completions`.
struct CompletionRequest {
  var generation: GenerationFields
  var prompts: [[TokenID]]
  /// Whether the prompt is repeated before its continuation.
  var echoes: Bool
  /// Alternatives shown for each token, where its probability is wanted.
  var logprobs: Int?

  init(_ json: JSON, _ served: ServedModel) throws(APIError) {
    var fields = try Fields(json)
    guard let value = fields.value("prompt") else { throw fields.missing("prompt") }
    generation = try GenerationFields(&fields, served: served, maxTokensNames: ["max_tokens"])
    echoes = try fields.bool("echo") ?? false
    logprobs = try fields.integer("logprobs", in: 0...20)
    if let best = try fields.integer("best_of", in: 1...Int.max), best != generation.choices {
      throw .unsupported("best_of", "'best_of' is \(best); expected 'n', \(generation.choices)")
    }
    try fields.refuse("suffix", because: "this server only continues texts")
    if let format = try ConstraintGrammar(responseFormat: &fields) { generation.grammar = format }
    let addSpecialTokens = try fields.bool("add_special_tokens") ?? true
    try fields.finish()
    if generation.maxTokens == nil { generation.maxTokens = 16 }
    if generation.maxTokens == 0, !echoes {
      throw .invalid("max_tokens", "'max_tokens' is 0, which needs 'echo' to be true")
    }
    prompts = try PromptFields.prompts(
      value, at: "prompt", served, addSpecialTokens: addSpecialTokens)
    guard prompts.count * generation.choices <= served.limits.choices else {
      throw .invalid(
        "prompt",
        "\(prompts.count) prompts with \(generation.choices) choices each; expected at most "
          + "\(served.limits.choices) choices")
    }
    for (i, prompt) in prompts.enumerated() {
      try served.check(
        prompt: prompt, maxTokens: generation.maxTokens,
        at: prompts.count > 1 ? "prompt[\(i)]" : "prompt")
    }
  }
}

/// Reads a text, texts, token ids or several lists of them.
enum PromptFields {
  static func prompts(
    _ value: JSON, at path: String, _ served: ServedModel, addSpecialTokens: Bool = true
  ) throws(APIError) -> [[TokenID]] {
    func encode(_ text: String) -> [TokenID] {
      served.tokenizer.encode(text, addSpecialTokens: addSpecialTokens)
    }
    switch value {
    case .string(let text): return [encode(text)]
    case .array(let items) where items.isEmpty:
      throw .invalid(path, "'\(path)' is empty; expected at least one prompt")
    case .array(let items):
      if case .integer = items[0] {
        return [try GenerationFields.tokens(items, at: path, served)]
      }
      guard items.count <= served.limits.choices else {
        throw .invalid(
          path,
          "'\(path)' has \(items.count) items; expected at most \(served.limits.choices)")
      }
      var result: [[TokenID]] = []
      for (i, item) in items.enumerated() {
        switch item {
        case .string(let text): result.append(encode(text))
        case .array(let ids):
          result.append(try GenerationFields.tokens(ids, at: "\(path)[\(i)]", served))
        default:
          throw .invalid(
            "\(path)[\(i)]",
            "'\(path)[\(i)]' is \(item.brief); expected a string or an array of token ids")
        }
      }
      return result
    default:
      throw .invalid(
        path, "'\(path)' is \(value.kind); expected a string, token ids or an array of these")
    }
  }
}
