import ArgumentParser

/// The command line of swift-attention.
@main
struct Attn: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attn", abstract: "An attention engine for LLM serving.")
}
