import Foundation

/// What the commands read and write.
enum Terminal {
  /// Writes text to standard output at once.
  static func write(_ text: String) {
    FileHandle.standardOutput.write(Data(text.utf8))
  }

  /// Writes a line about the run to standard error.
  static func note(_ text: String) {
    FileHandle.standardError.write(Data((text + "\n").utf8))
  }

  /// The next line of standard input after a prompt, shown only where somebody types.
  static func readLine(prompt: String) -> String? {
    if isatty(STDIN_FILENO) != 0 { write(prompt) }
    return Swift.readLine()
  }

  /// All of standard input, without the newline at its end.
  static func readAll() throws -> String {
    if isatty(STDIN_FILENO) != 0 { note("reading the prompt from standard input; end with ^D") }
    let data = FileHandle.standardInput.readDataToEndOfFile()
    guard var text = String(validating: data, as: UTF8.self) else {
      throw CommandFailure(.data, "standard input is not UTF-8")
    }
    if text.last == "\n" { text.removeLast() }
    return text
  }

  /// Prints a value as JSON.
  static func printJSON(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
    write(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n")
  }
}

extension Double {
  /// The number with one digit after the point.
  var rounded1: String { String(format: "%.1f", self) }

  /// The number with two digits after the point.
  var rounded2: String { String(format: "%.2f", self) }
}
