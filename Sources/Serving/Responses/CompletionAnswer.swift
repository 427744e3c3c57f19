import Inference
import Tokenizers

/// The answer of `/v1/completions`.
struct CompletionAnswer: Answer {
  let header: AnswerHeader
  let choices: Int
  private let tokenizer: Tokenizer
  private let showsLogprobs: Bool
  private let generates: Bool
  private let echo: [[TokenID]]?
  private var states: [State]

  private struct State {
    var hasBegun = false
    var text = ""
    /// Code points so far, for `text_offset`.
    var offset = 0
    var logprobs = CompletionLogprobs()
    var finish: JSON = .null
  }

  init(_ request: CompletionRequest, _ served: ServedModel) {
    header = AnswerHeader(prefix: "cmpl-", object: "text_completion", model: served.name)
    choices = request.generation.choices
    tokenizer = served.tokenizer
    showsLogprobs = request.logprobs != nil
    generates = request.generation.maxTokens != 0
    echo = request.echoes ? request.prompts : nil
    states = Array(repeating: State(), count: choices * request.prompts.count)
  }

  mutating func receive(_ delta: ChoiceDelta) -> [JSON] {
    let i = delta.index
    var text = ""
    var logprobs = CompletionLogprobs()
    if !states[i].hasBegun, let prompt = echo?[i / choices] {
      text = tokenizer.decode(prompt, skipSpecial: false)
      let outputs =
        delta.promptTokens.isEmpty ? prompt.map { TokenOutput(id: $0) } : delta.promptTokens
      if showsLogprobs { logprobs.append(outputs, tokenizer, offset: &states[i].offset) }
    }
    states[i].hasBegun = true
    if generates {
      text += delta.text
      if showsLogprobs { logprobs.append(delta.tokens, tokenizer, offset: &states[i].offset) }
    }
    states[i].text += text
    states[i].logprobs.append(logprobs)
    if let finish = delta.finish {
      states[i].finish = .string(generates ? finish.rawValue : "length")
    }
    if text.isEmpty, logprobs.isEmpty, delta.finish == nil { return [] }
    return [choice(i, text, logprobs, delta.finish == nil ? .null : states[i].finish)]
  }

  var whole: [JSON] {
    states.enumerated().map { choice($0, $1.text, $1.logprobs, $1.finish) }
  }

  private func choice(
    _ index: Int, _ text: String, _ logprobs: CompletionLogprobs, _ finish: JSON
  ) -> JSON {
    [
      "index": .integer(index), "text": .string(text),
      "logprobs": showsLogprobs ? logprobs.json : .null, "finish_reason": finish,
    ]
  }
}
