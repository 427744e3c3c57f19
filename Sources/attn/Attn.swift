import ArgumentParser
import ModelStore

/// The command line of swift-attention.
@main
struct Attn: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attn",
    abstract: "An attention engine for LLM serving.",
    version: "0.1.0",
    subcommands: [
      GenerateCommand.self, ChatCommand.self, ServeCommand.self, BenchCommand.self,
      PlanCommand.self, TranslateCommand.self, TrainCommand.self, ParseCommand.self,
      DoctorCommand.self,
    ])

  static func main() async {
    var arguments = Array(CommandLine.arguments.dropFirst())
    if arguments.first == ServeCommand._commandName {
      arguments =
        arguments.prefix(1)
        + EnvironmentArguments.adding(
          ModelStore.processEnvironment, to: Array(arguments.dropFirst()),
          help: helpMessage(for: ServeCommand.self, columns: 1000))
    }
    await main(arguments)
  }
}
