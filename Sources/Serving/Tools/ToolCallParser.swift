import Tokenizers

/// Finds calls of functions in text that arrives in pieces.
///
/// Two forms are known: JSON between `<tool_call>` tags, anywhere; and an answer that is nothing but
/// JSON, one call or an array of them. JSON counts as a call only where it has the name of a tool;
/// all else is text.
package struct ToolCallParser {
  package enum Event: Equatable {
    case text(String)
    case call(name: String, arguments: String)
  }

  private static let opening = "<tool_call>"
  private static let closing = "</tool_call>"

  private let names: Set<String>
  private var held = ""
  private var isInside = false
  /// Whether anything but white space came before `held`.
  private var hasText = false
  private var hasCall = false

  package init(names: some Sequence<String>) { self.names = Set(names) }

  /// Takes the next piece and returns what is now certain.
  package mutating func append(_ piece: String) -> [Event] {
    held += piece
    var events: [Event] = []
    while true {
      if isInside {
        guard let end = held.firstRange(of: Self.closing) else { return events }
        let body = String(held[..<end.lowerBound])
        held = String(held[end.upperBound...])
        isInside = false
        if let calls = calls(in: body) {
          events += calls
          hasCall = true
        } else {
          events += text(Self.opening + body + Self.closing)
        }
      } else if let start = held.firstRange(of: Self.opening) {
        events += text(String(held[..<start.lowerBound]))
        held = String(held[start.upperBound...])
        isInside = true
      } else {
        if mayBeJSON { return events }
        // The end may be the beginning of a tag.
        let kept = (1..<Self.opening.count).last { held.hasSuffix(Self.opening.prefix($0)) } ?? 0
        events += text(String(held.dropLast(kept)))
        held = String(held.suffix(kept))
        return events
      }
    }
  }

  /// Ends the text.
  package mutating func finish() -> [Event] {
    defer { held = "" }
    if isInside {
      // Some models stop without the closing tag.
      return calls(in: held) ?? text(Self.opening + held)
    }
    if mayBeJSON, let calls = calls(in: held) { return calls }
    return text(held)
  }

  /// Whether all of the answer so far could be JSON.
  private var mayBeJSON: Bool {
    guard !hasText, !hasCall, let first = held.first(where: { !$0.isWhitespace }) else {
      return false
    }
    return first == "{" || first == "["
  }

  private mutating func text(_ text: String) -> [Event] {
    if text.isEmpty { return [] }
    // White space between calls is not part of an answer.
    if hasCall, text.allSatisfy(\.isWhitespace) { return [] }
    if !text.allSatisfy(\.isWhitespace) { hasText = true }
    return [.text(text)]
  }

  private func calls(in body: String) -> [Event]? {
    guard let json = try? JSON(parsing: body) else { return nil }
    let items: [JSON] = if case .array(let items) = json { items } else { [json] }
    var result: [Event] = []
    for item in items {
      guard let name = item["name"]?.string, names.contains(name) else { return nil }
      // Llama 3 writes "parameters".
      let arguments = item["arguments"] ?? item["parameters"] ?? [:]
      switch arguments {
      case .object: result.append(.call(name: name, arguments: arguments.text))
      case .string(let text): result.append(.call(name: name, arguments: text))
      case .null: result.append(.call(name: name, arguments: "{}"))
      default: return nil
      }
    }
    return result.isEmpty ? nil : result
  }
}
