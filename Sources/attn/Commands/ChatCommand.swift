import ArgumentParser
import Inference
import LanguageModels
import Tokenizers

struct ChatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Hold a conversation.",
    discussion: """
      Uses the model's own chat template. An empty line or end of input ends the conversation; \
      /reset forgets it. Earlier turns stay in the cache, so each answer costs only its new turn.
      """)

  @OptionGroup var model: ModelOptions
  @OptionGroup var sampling: SamplingOptions

  @Option(help: "Instructions that precede the conversation.")
  var system: String?

  func run() throws {
    try reportingErrors {
      var defaults = SamplingParameters()
      defaults.temperature = 0.7
      defaults.topP = 0.9
      var options = try sampling.request(maxTokens: 512, defaults: defaults)
      let session = try model.session()
      guard let template = session.bundle.chatTemplate else {
        throw CommandFailure(
          .data, "\(session.bundle.path) has no chat template; try `attn generate`")
      }
      var conversation = opening
      while let line = Terminal.readLine(prompt: "> "), !line.isEmpty {
        if line == "/reset" {
          conversation = opening
          continue
        }
        conversation.append(ChatMessage(role: "user", content: line))
        let tokens = try session.bundle.tokenizer.encode(messages: conversation, with: template)
        // Each answer draws from its own stretch of the random numbers.
        options.sampling.seed &+= 1
        let answer = try session.generate(tokens, options: options) { piece in
          Terminal.write(piece)
          return true
        }
        Terminal.write("\n")
        Terminal.note(answer.summary)
        conversation.append(ChatMessage(role: "assistant", content: answer.text))
      }
    }
  }

  private var opening: [ChatMessage] {
    system.map { [ChatMessage(role: "system", content: $0)] } ?? []
  }
}
