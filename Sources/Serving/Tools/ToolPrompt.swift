import Tokenizers

/// Describes tools in a system message, for models whose template does not.
///
/// In the form that Hermes models were trained on and many follow.
enum ToolPrompt {
  static func describing(_ tools: [Tool], to messages: [ChatMessage]) -> [ChatMessage] {
    let list = tools.map(\.json.text).joined(separator: "\n")
    let text = """
      You can call functions. These are their signatures, as JSON between <tools> tags:
      <tools>
      \(list)
      </tools>
      To call one, answer with its name and arguments as JSON between <tool_call> tags, nothing else:
      <tool_call>
      {"name": "<function-name>", "arguments": <arguments-object>}
      </tool_call>
      """
    var result = messages.map { ChatMessage(calling: $0) }
    if let first = result.first, first.role == "system" {
      result[0].content = first.content + "\n\n" + text
    } else {
      result.insert(ChatMessage(role: "system", content: text), at: 0)
    }
    return result
  }
}

extension ChatMessage {
  /// The message with calls and results written into its text.
  fileprivate init(calling message: ChatMessage) {
    self = message
    if role == "tool" {
      role = "user"
      content = "<tool_response>\n\(content)\n</tool_response>"
    }
    guard let place = more.firstIndex(where: { $0.name == "tool_calls" }) else { return }
    for call in more.remove(at: place).value.array ?? [] {
      if let function = call["function"] {
        content += "\(content.isEmpty ? "" : "\n")<tool_call>\n\(function.text)\n</tool_call>"
      }
    }
  }
}
