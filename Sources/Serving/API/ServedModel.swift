import Glibc
import Inference
import LanguageModels
import Tokenizers

/// The model as requests see it: its names, its tokenizer and what may be asked of it.
struct ServedModel: Sendable {
  /// The names a request may use; the first is the one that answers carry.
  var names: [String]
  var tokenizer: Tokenizer
  var template: ChatTemplate?
  /// The most tokens of prompt and answer together.
  var context: Int
  /// Whether a sequence may grow beyond the context.
  var isEndless: Bool
  /// The length of an embedding.
  var width: Int
  var limits: ServerOptions.Limits
  /// When it was loaded, in seconds since 1970.
  var created: Int

  init(_ engine: InferenceEngine, _ options: ServerOptions) {
    let bundle = engine.bundle
    let file = bundle.path.split(separator: "/").last.map(String.init) ?? bundle.path
    names = options.modelNames.isEmpty ? [file] : options.modelNames
    tokenizer = bundle.tokenizer
    template = bundle.chatTemplate
    context = engine.context
    isEndless = engine.options.window != nil
    width = bundle.model.configuration.width
    limits = options.limits
    limits.choices = min(limits.choices, engine.options.maxRunning)
    created = time(nil)
  }

  var name: String { names.first ?? "model" }
  var vocabularySize: Int { tokenizer.vocabularySize }

  /// Throws where a request names another model.
  func check(_ name: String?, at path: String) throws(APIError) {
    guard let name, !names.contains(name) else { return }
    throw .notFound(
      "the model '\(name.brief)' is not served here; expected "
        + names.map { "'\($0)'" }.joined(separator: " or "),
      param: path, code: "model_not_found")
  }

  /// Throws where a prompt, with the tokens asked for beside it, does not fit into the context.
  func check(prompt: [TokenID], maxTokens: Int?, at path: String) throws(APIError) {
    if prompt.isEmpty { throw .invalid(path, "'\(path)' has no tokens; expected at least one") }
    // A difference: a client may ask for as many tokens as an integer holds.
    guard (maxTokens ?? 1) > context - prompt.count, !isEndless else { return }
    throw .invalid(
      path,
      "this model's context has \(context) tokens; the prompt has \(prompt.count)"
        + (maxTokens.map { " and \($0) more were asked for" } ?? ", which leaves no room for more"),
      code: "context_length_exceeded")
  }

  /// The tokens of a conversation.
  func encode(
    _ messages: [ChatMessage], tools: [Tool] = [], addGenerationPrompt: Bool = true,
    more: [JSON.Member] = []
  ) throws(APIError) -> [TokenID] {
    guard let template else {
      throw .invalid(
        "messages", "this model has no chat template; use /v1/completions",
        code: "no_chat_template")
    }
    func render(_ messages: [ChatMessage], _ tools: [Tool]) throws(APIError) -> [TokenID] {
      do {
        return try tokenizer.encode(
          messages: messages, with: template, tools: tools.map(\.json),
          addGenerationPrompt: addGenerationPrompt, more: more)
      } catch {
        throw .invalid(
          "messages", "the model's chat template refuses the messages: \(error.message)")
      }
    }
    let plain = try render(messages, [])
    if tools.isEmpty { return plain }
    let equipped = try render(messages, tools)
    // A template that knows nothing of tools leaves them out without a word: then the system's
    // message describes them.
    return equipped == plain ? try render(ToolPrompt.describing(tools, to: messages), []) : equipped
  }
}
