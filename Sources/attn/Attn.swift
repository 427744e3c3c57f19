import ArgumentParser

/// The command line of swift-attention.
@main
struct Attn: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attn",
    abstract: "An attention engine for LLM serving.",
    version: "0.1.0",
    subcommands: [
      GenerateCommand.self, ChatCommand.self, BenchCommand.self, PlanCommand.self,
      TranslateCommand.self, TrainCommand.self, ParseCommand.self, DoctorCommand.self,
    ])
}
