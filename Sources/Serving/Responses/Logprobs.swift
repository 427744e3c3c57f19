import Inference
import Tokenizers

extension JSON {
  /// A log-probability; minus infinity as the number OpenAI writes for it.
  static func logprob(_ value: Float) -> JSON { value.isFinite ? JSON(value) : .number(-9999) }
}

extension Tokenizer {
  /// A token as text; bytes that are no character are shown as such.
  func text(of id: TokenID) -> String { decode([id], skipSpecial: false) }

  /// A token with its probability and the alternatives', as chats show it.
  func chatLogprob(_ output: TokenOutput) -> JSON {
    guard case .object(let members) = entry(output.id, output.logprob ?? 0) else { return .null }
    let top = output.top.map { entry($0.id, $0.logprob) }
    return .object(members + [.init("top_logprobs", .array(top))])
  }

  private func entry(_ id: TokenID, _ logprob: Float) -> JSON {
    [
      "token": .string(text(of: id)), "logprob": .logprob(logprob),
      "bytes": .array(bytes(of: id).map { .integer(Int($0)) }),
    ]
  }
}

/// Tokens with their probabilities, as completions show them: as columns.
struct CompletionLogprobs {
  private var tokens: [JSON] = []
  private var logprobs: [JSON] = []
  private var top: [JSON] = []
  private var offsets: [JSON] = []

  var isEmpty: Bool { tokens.isEmpty }

  mutating func append(_ other: CompletionLogprobs) {
    tokens += other.tokens
    logprobs += other.logprobs
    top += other.top
    offsets += other.offsets
  }

  /// Appends tokens whose text begins at `offset`, counted in code points.
  mutating func append(_ outputs: [TokenOutput], _ tokenizer: Tokenizer, offset: inout Int) {
    for output in outputs {
      let text = tokenizer.text(of: output.id)
      tokens.append(.string(text))
      logprobs.append(output.logprob.map { .logprob($0) } ?? .null)
      // The first token of a prompt follows nothing.
      top.append(
        output.logprob == nil
          ? .null
          : .object(
            output.top.map { .init(tokenizer.text(of: $0.id), .logprob($0.logprob)) }))
      offsets.append(.integer(offset))
      offset += text.unicodeScalars.count
    }
  }

  var json: JSON {
    [
      "tokens": .array(tokens), "token_logprobs": .array(logprobs), "top_logprobs": .array(top),
      "text_offset": .array(offsets),
    ]
  }
}
