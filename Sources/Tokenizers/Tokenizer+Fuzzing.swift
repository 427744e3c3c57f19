extension Tokenizer {
  /// Feeds arbitrary bytes to the loader and, if they are a tokenizer, through it and back.
  ///
  /// For fuzzing: the only outcomes are true, false, or a found bug. The answer says whether the
  /// bytes were a `tokenizer.json`.
  public static func fuzz(_ bytes: [UInt8]) -> Bool {
    guard let tokenizer = try? Tokenizer(tokenizerJSON: bytes, config: bytes) else { return false }
    let text = String(decoding: bytes.prefix(2000), as: UTF8.self)
    let ids = tokenizer.encode(text, parseSpecial: true)
    _ = tokenizer.decode(ids)
    var stream = StreamingDetokenizer(tokenizer)
    for id in ids { _ = stream.append(id) }
    _ = stream.finish()
    return true
  }
}

extension ChatTemplate {
  /// Reads arbitrary bytes as a template and renders it, with little work allowed.
  ///
  /// For fuzzing: the only outcomes are true, false, or a found bug. The answer says whether the
  /// bytes were a template that rendered.
  public static func fuzz(_ bytes: [UInt8]) -> Bool {
    guard let template = try? ChatTemplate(String(decoding: bytes, as: UTF8.self)) else {
      return false
    }
    var limits = Limits()
    limits.steps = 20_000
    limits.characters = 100_000
    limits.work = 1_000_000
    let message = ChatMessage(role: "user", content: "text").json
    let values = [JSON.Member("messages", .array([message, message]))]
    return (try? template.render(values, limits: limits, time: 0)) != nil
  }
}
