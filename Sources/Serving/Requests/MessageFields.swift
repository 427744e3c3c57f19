import Tokenizers

/// Reads a chat's messages.
enum MessageFields {
  static func messages(_ fields: inout Fields) throws(APIError) -> [ChatMessage] {
    guard let items = try fields.array("messages") else { throw fields.missing("messages") }
    guard !items.isEmpty else {
      throw fields.wrong("messages", .array([]), "at least one message")
    }
    var result: [ChatMessage] = []
    for (i, item) in items.enumerated() {
      result.append(try message(item, at: "\(fields.path(of: "messages"))[\(i)]"))
    }
    return result
  }

  private static func message(_ json: JSON, at path: String) throws(APIError) -> ChatMessage {
    var fields = try Fields(json, at: path)
    let roles = ["system", "developer", "user", "assistant", "tool"]
    guard let role = try fields.choice("role", of: roles) else { throw fields.missing("role") }
    var more: [JSON.Member] = []
    if let name = try fields.string("name") { more.append(.init("name", .string(name))) }
    var needsContent = true
    switch role {
    case "assistant":
      if let calls = try toolCalls(&fields) {
        more.append(.init("tool_calls", calls))
        needsContent = false
      }
      if let reasoning = try fields.string("reasoning_content") {
        more.append(.init("reasoning_content", .string(reasoning)))
      }
      // What a client sends back of an earlier answer.
      try fields.refuse("refusal", because: "an earlier answer is given by its 'content'")
      try fields.refuse("audio", because: "this model reads text")
      try fields.refuse("annotations", unless: .array([]), because: "this model reads text")
      try fields.refuse("function_call", because: "it was replaced by 'tool_calls'")
    case "tool":
      guard let id = try fields.string("tool_call_id") else { throw fields.missing("tool_call_id") }
      more.append(.init("tool_call_id", .string(id)))
    default: break
    }
    let content = try content(&fields)
    if content == nil, needsContent { throw fields.missing("content") }
    try fields.finish()
    // OpenAI's newer name for the system's role; templates know the older one.
    return ChatMessage(
      role: role == "developer" ? "system" : role, content: content ?? "", more: more)
  }

  /// A text, or text parts put under each other.
  private static func content(_ fields: inout Fields) throws(APIError) -> String? {
    guard let value = fields.value("content") else { return nil }
    switch value {
    case .string(let text): return text
    case .array(let parts):
      var texts: [String] = []
      for (i, part) in parts.enumerated() {
        var part = try Fields(part, at: "\(fields.path(of: "content"))[\(i)]")
        guard let type = try part.string("type") else { throw part.missing("type") }
        guard type == "text" else {
          throw .unsupported(
            part.path(of: "type"),
            "'\(part.path(of: "type"))' is \"\(type.brief)\"; this model reads only \"text\"")
        }
        guard let text = try part.string("text") else { throw part.missing("text") }
        try part.finish()
        texts.append(text)
      }
      return texts.joined(separator: "\n")
    default: throw fields.wrong("content", value, "a string or an array of text parts")
    }
  }

  /// The calls an assistant made, their arguments as values: so templates want them.
  private static func toolCalls(_ fields: inout Fields) throws(APIError) -> JSON? {
    guard let items = try fields.array("tool_calls"), !items.isEmpty else { return nil }
    var result: [JSON] = []
    for (i, item) in items.enumerated() {
      var call = try Fields(item, at: "\(fields.path(of: "tool_calls"))[\(i)]")
      guard let id = try call.string("id") else { throw call.missing("id") }
      guard try call.choice("type", of: ["function"]) != nil else { throw call.missing("type") }
      // What streams number their calls with, when a client sends them back.
      _ = try call.integer("index", in: 0...Int.max)
      guard var function = try call.fields("function") else { throw call.missing("function") }
      guard let name = try function.string("name") else { throw function.missing("name") }
      guard let text = try function.string("arguments") else { throw function.missing("arguments") }
      try function.finish()
      try call.finish()
      let arguments = (try? JSON(parsing: text)) ?? .string(text)
      result.append([
        "id": .string(id), "type": "function",
        "function": ["name": .string(name), "arguments": arguments],
      ])
    }
    return .array(result)
  }
}
