import Inference
import Tokenizers

/// The answer of `/v1/chat/completions`.
struct ChatAnswer: Answer {
  let header: AnswerHeader
  let choices: Int
  private let tokenizer: Tokenizer
  private let showsLogprobs: Bool
  private let tools: ToolFields
  private var states: [State]

  private struct State {
    var hasRole = false
    var parser: ToolCallParser?
    var text = ""
    var calls: [JSON] = []
    var logprobs: [JSON] = []
    var finish: JSON = .null
  }

  init(_ request: ChatRequest, _ served: ServedModel) {
    header = AnswerHeader(
      prefix: "chatcmpl-",
      object: request.generation.streams ? "chat.completion.chunk" : "chat.completion",
      model: served.name)
    choices = request.generation.choices
    tokenizer = served.tokenizer
    showsLogprobs = request.logprobs != nil
    tools = request.tools
    let parser =
      request.tools.choice == .none
      ? nil : ToolCallParser(names: request.tools.tools.map(\.name))
    states = Array(repeating: State(parser: parser), count: choices)
  }

  mutating func receive(_ delta: ChoiceDelta) -> [JSON] {
    let i = delta.index
    let (text, calls) = read(delta)
    let logprobs = showsLogprobs ? delta.tokens.map { tokenizer.chatLogprob($0) } : []
    states[i].text += text
    states[i].logprobs += logprobs
    var result: [JSON] = []
    func chunk(_ change: JSON, logprobs: [JSON] = [], finish: JSON = .null) {
      result.append([
        "index": .integer(i), "delta": change,
        "logprobs": logprobs.isEmpty ? .null : ["content": .array(logprobs), "refusal": .null],
        "finish_reason": finish,
      ])
    }
    if !states[i].hasRole {
      states[i].hasRole = true
      chunk(["role": "assistant", "content": ""])
    }
    if !text.isEmpty || !logprobs.isEmpty { chunk(["content": .string(text)], logprobs: logprobs) }
    for call in calls {
      let place = states[i].calls.count
      states[i].calls.append(call)
      guard case .object(let members) = call else { continue }
      chunk(["tool_calls": [.object([.init("index", .integer(place))] + members)]])
    }
    if let finish = delta.finish {
      states[i].finish = .string(reason(finish, hasCalls: !states[i].calls.isEmpty))
      chunk([:], finish: states[i].finish)
    }
    return result
  }

  /// The text and the calls in a step.
  private mutating func read(_ delta: ChoiceDelta) -> (String, [JSON]) {
    guard states[delta.index].parser != nil else { return (delta.text, []) }
    var events = states[delta.index].parser?.append(delta.text) ?? []
    if delta.finish != nil { events += states[delta.index].parser?.finish() ?? [] }
    var text = ""
    var calls: [JSON] = []
    for event in events {
      switch event {
      case .text(let piece): text += piece
      case .call(let name, let arguments):
        let isFirst = states[delta.index].calls.isEmpty && calls.isEmpty
        guard tools.allowsParallelCalls || isFirst else { continue }
        let id = String(UInt64.random(in: .min ... .max), radix: 16)
        calls.append([
          "id": .string("call_" + id), "type": "function",
          "function": ["name": .string(name), "arguments": .string(arguments)],
        ])
      }
    }
    return (text, calls)
  }

  private func reason(_ finish: ChoiceDelta.Finish, hasCalls: Bool) -> String {
    guard finish == .stop, hasCalls else { return finish.rawValue }
    // As OpenAI does: a call that was asked for by name is simply what the model had to say.
    if case .named = tools.choice { return "stop" }
    return "tool_calls"
  }

  var whole: [JSON] {
    states.enumerated().map { i, state in
      var message: [JSON.Member] = [
        .init("role", "assistant"),
        .init(
          "content", state.text.isEmpty && !state.calls.isEmpty ? .null : .string(state.text)),
        .init("refusal", .null),
      ]
      if !state.calls.isEmpty { message.append(.init("tool_calls", .array(state.calls))) }
      return [
        "index": .integer(i), "message": .object(message),
        "logprobs": showsLogprobs
          ? ["content": .array(state.logprobs), "refusal": .null] : .null,
        "finish_reason": state.finish,
      ]
    }
  }
}
