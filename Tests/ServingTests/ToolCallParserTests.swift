import Serving
import Testing

@Suite struct ToolCallParserTests {
  struct Case {
    var text: String
    var shown: String
    /// Names and arguments.
    var calls: [[String]] = []
  }

  static let cases: [Case] = [
    Case(text: "plain text", shown: "plain text"),
    Case(
      text: "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>", shown: "",
      calls: [["f", "{\"a\":1}"]]),
    Case(
      text: "So: <tool_call>{\"name\": \"f\"}</tool_call>\n<tool_call>{\"name\": \"g\", "
        + "\"arguments\": \"{}\"}</tool_call>", shown: "So: ", calls: [["f", "{}"], ["g", "{}"]]),
    Case(text: "{\"name\": \"g\", \"parameters\": {}}", shown: "", calls: [["g", "{}"]]),
    Case(
      text: "[{\"name\": \"g\"}, {\"name\": \"f\", \"arguments\": {}}]", shown: "",
      calls: [["g", "{}"], ["f", "{}"]]),
    // No tool of that name, no JSON, no end, a tag within words.
    Case(text: "{\"name\": \"h\"}", shown: "{\"name\": \"h\"}"),
    Case(
      text: "<tool_call>{\"name\": \"h\"}</tool_call>",
      shown: "<tool_call>{\"name\": \"h\"}</tool_call>"),
    Case(text: "<tool_call>not json", shown: "<tool_call>not json"),
    Case(text: "<tool_call>{\"name\": \"f\"}", shown: "", calls: [["f", "{}"]]),
    Case(text: "a < b and <tool_ x", shown: "a < b and <tool_ x"),
    Case(text: "{ is a brace", shown: "{ is a brace"),
    Case(text: "text {\"name\": \"f\"}", shown: "text {\"name\": \"f\"}"),
  ]

  @Test(arguments: cases.indices, [1, 2, 3, 7, 1000])
  func callsAreFoundHoweverTheTextIsCut(place: Int, size: Int) {
    let expected = Self.cases[place]
    var parser = ToolCallParser(names: ["f", "g"])
    var shown = ""
    var calls: [[String]] = []
    func take(_ events: [ToolCallParser.Event]) {
      for event in events {
        switch event {
        case .text(let text): shown += text
        case .call(let name, let arguments): calls.append([name, arguments])
        }
      }
    }
    var rest = expected.text[...]
    while !rest.isEmpty {
      take(parser.append(String(rest.prefix(size))))
      rest = rest.dropFirst(size)
    }
    take(parser.finish())
    #expect(shown == expected.shown)
    #expect(calls == expected.calls)
  }
}
