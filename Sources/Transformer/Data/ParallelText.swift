import Foundation

/// Sentences and their translations, line by line in two files.
public struct ParallelText: Sendable, Hashable {
  /// The sentences.
  public var sources: [String]
  /// Their translations, one for each.
  public var targets: [String]

  /// Why files are no parallel text.
  public enum Failure: Error, Hashable, CustomStringConvertible {
    /// The file is not there or is not UTF-8.
    case unreadable(path: String)
    /// The files have different numbers of lines.
    case lines(source: String, Int, target: String, Int)

    /// What is wrong, where, and what was expected.
    public var description: String {
      switch self {
      case .unreadable(let path): "\(path): cannot be read as UTF-8 text"
      case .lines(let source, let a, let target, let b):
        "parallel text: \(source) has \(a) lines, \(target) has \(b); expected as many"
      }
    }
  }

  /// Reads two files.
  public init(source: String, target: String) throws(Failure) {
    sources = try Self.lines(source)
    targets = try Self.lines(target)
    guard sources.count == targets.count else {
      throw .lines(source: source, sources.count, target: target, targets.count)
    }
  }

  /// The lines of a file.
  public static func lines(_ path: String) throws(Failure) -> [String] {
    guard let data = FileManager.default.contents(atPath: path),
      let text = String(validating: data, as: UTF8.self)
    else { throw .unreadable(path: path) }
    // Scalars, not characters: "\r\n" is one character.
    var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
      .map { $0.last == "\r" ? String($0.dropLast()) : String($0) }
    if lines.last == "" { lines.removeLast() }
    return lines
  }

  /// The pairs as tokens.
  public func encoded(_ vocabulary: SubwordVocabulary) -> [EncodedPair] {
    zip(vocabulary.encode(sources), vocabulary.encode(targets)).map {
      EncodedPair(source: $0, target: $1)
    }
  }
}
