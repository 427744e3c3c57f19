/// Options given by environment variables: `ATTENTION_MAX_RUNNING=8` stands for `--max-running 8`.
///
/// What a command knows is read from its own help, so that no option can be forgotten.
enum EnvironmentArguments {
  /// An option in a help text.
  struct Option: Hashable {
    /// All its spellings, dashes included.
    var spellings: [String]
    var takesValue: Bool

    /// The long spelling's name as a variable.
    var variable: String? {
      spellings.first { $0.hasPrefix("--") }.map { long in
        "ATTENTION_" + long.dropFirst(2).uppercased().map { $0 == "-" ? "_" : String($0) }.joined()
      }
    }
  }

  /// The options that a help text lists.
  static func options(in help: String) -> [Option] {
    help.split(separator: "\n").compactMap { line in
      guard line.hasPrefix("  -") else { return nil }
      // "  -m, --model <path|name>   A known name …"
      var spellings: [String] = []
      for word in line.split(separator: " ") {
        if word.hasPrefix("-") {
          spellings.append(String(word.last == "," ? word.dropLast() : word))
        } else {
          return Option(spellings: spellings, takesValue: word.hasPrefix("<"))
        }
      }
      return Option(spellings: spellings, takesValue: false)
    }
  }

  /// The arguments, preceded by what the environment adds to them.
  static func adding(
    _ environment: [String: String], to arguments: [String], help: String
  ) -> [String] {
    var added: [String] = []
    for option in options(in: help) {
      guard let variable = option.variable, let value = environment[variable] else { continue }
      if ["ATTENTION_HELP", "ATTENTION_VERSION"].contains(variable) { continue }
      let isGiven = arguments.contains { argument in
        option.spellings.contains { argument == $0 || argument.hasPrefix($0 + "=") }
      }
      if isGiven || value.isEmpty { continue }
      if option.takesValue {
        added.append("\(option.spellings.last ?? "")=\(value)")
      } else if ["1", "true", "yes"].contains(value.lowercased()) {
        added.append(option.spellings.last ?? "")
      }
    }
    return added + arguments
  }
}
