/// A model's chat template: the subset of Jinja that such templates use.
///
/// Tags: `for` (with `else`, filter condition, tuple targets), `if`, `set` (also of namespace
/// attributes, and as a block), `macro`, `filter`, `generation`, `with`, `do`, `break`, `continue`,
/// `raw`. White space is handled with `trim_blocks` and `lstrip_blocks`, as everywhere in the
/// world of chat templates.
///
/// A template is untrusted input: nesting, work and output are bounded, and every fault is a
/// `Failure` with line and column. The rendered text remembers which parts came from the user, so
/// that `Tokenizer.encode(chat:)` makes control tokens only of what the template itself wrote.
public struct ChatTemplate: Sendable {
  /// A stretch of rendered text of one origin.
  public struct Segment: Sendable, Equatable {
    /// The text.
    public var text: String
    /// Whether it came from a message, a tool or another value handed in, not from the template.
    public var isUser: Bool

    /// A stretch of text.
    public init(text: String, isUser: Bool) {
      self.text = text
      self.isUser = isUser
    }
  }

  /// How much a template may do.
  public struct Limits: Sendable {
    /// Statements and expressions evaluated.
    public var steps = 5_000_000
    /// Characters in any one string, the result included.
    public var characters = 8_000_000
    /// Characters written to strings altogether.
    public var work = 256_000_000

    /// The usual limits: far above any real conversation.
    public init() {}
  }

  let statements: [TemplateStatement]

  /// Reads a template.
  ///
  /// - Throws: `Failure` for what is not Jinja, or outside the supported subset.
  public init(_ source: String) throws(Failure) {
    statements = try TemplateParser.parse(source)
  }

  /// Renders the template.
  ///
  /// - Parameters:
  ///   - values: what the template sees by name: `messages`, `tools`, `add_generation_prompt`, ….
  ///     All strings in them are user text.
  ///   - trusted: strings that count as the template's own: `bos_token`, `eos_token`, ….
  ///   - time: seconds since 1970 for `strftime_now`; nil means now.
  public func render(
    _ values: [JSON.Member], trusted: [String: String] = [:], limits: Limits = Limits(),
    time: Int? = nil
  ) throws(Failure) -> [Segment] {
    var evaluator = TemplateEvaluator(limits: limits, time: time)
    return try evaluator.render(statements, values, trusted).segments
  }
}

/// One message of a conversation.
public struct ChatMessage: Sendable, Equatable {
  /// Who speaks: `system`, `user`, `assistant`, `tool`.
  public var role: String
  /// What is said.
  public var content: String
  /// More members a template may look for, such as `tool_calls`.
  public var more: [JSON.Member]

  /// A message.
  public init(role: String, content: String, more: [JSON.Member] = []) {
    self.role = role
    self.content = content
    self.more = more
  }

  /// The message as templates see it.
  public var json: JSON {
    .object([.init("role", .string(role)), .init("content", .string(content))] + more)
  }
}

extension Tokenizer {
  /// Renders a conversation with a template and turns it into tokens.
  ///
  /// - Parameters:
  ///   - template: the model's template, read once.
  ///   - tools: descriptions of functions, as the template expects them.
  ///   - addGenerationPrompt: end with the beginning of an assistant's turn.
  ///   - more: further values for the template.
  public func encode(
    messages: [ChatMessage], with template: ChatTemplate, tools: [JSON] = [],
    addGenerationPrompt: Bool = true, more: [JSON.Member] = []
  ) throws(ChatTemplate.Failure) -> [TokenID] {
    var values: [JSON.Member] = [
      .init("messages", .array(messages.map(\.json))),
      .init("add_generation_prompt", .bool(addGenerationPrompt)),
    ]
    values.append(.init("tools", tools.isEmpty ? .null : .array(tools)))
    values += more
    return encode(chat: try template.render(values, trusted: templateTokens))
  }

  /// The spellings of special tokens under the names templates use.
  public var templateTokens: [String: String] {
    let special = storage.special
    let named = [
      ("bos_token", special.bos), ("eos_token", special.eos), ("unk_token", special.unknown),
      ("pad_token", special.padding),
    ]
    var result: [String: String] = [:]
    for (name, id) in named { result[name] = id.flatMap { piece(of: $0) } }
    return result
  }

  /// Turns rendered segments into tokens; only template text may become control tokens.
  ///
  /// Words may span segments, so that harmless text gives the tokens its model was trained on. No
  /// beginning or end tokens are added: the template writes them.
  public func encode(chat segments: [ChatTemplate.Segment]) -> [TokenID] {
    var bytes: [UInt8] = []
    var trusted: [Range<Int>] = []
    for segment in segments where !segment.text.isEmpty {
      let start = bytes.count
      bytes.append(contentsOf: segment.text.utf8)
      if segment.isUser { continue }
      if let last = trusted.last, last.upperBound == start {
        trusted[trusted.count - 1] = last.lowerBound..<bytes.count
      } else {
        trusted.append(start..<bytes.count)
      }
    }
    var ids: [TokenID] = []
    encode(bytes, into: &ids) { range in
      // The last trusted range that begins at or before the match.
      var low = 0
      var high = trusted.count
      while low < high {
        let middle = (low + high) / 2
        if trusted[middle].lowerBound <= range.lowerBound {
          low = middle + 1
        } else {
          high = middle
        }
      }
      return low > 0 && range.upperBound <= trusted[low - 1].upperBound
    }
    return ids
  }
}
