/// Finds stop strings in text that arrives in pieces.
///
/// Text that may be the beginning of a stop string is held back until the next piece decides, so
/// that a stop string is never shown, however the tokens cut it.
public struct StopMatcher: Sendable {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []

  /// The stop string that ended the text, once one was found.
  public private(set) var match: String?

  /// A matcher for the given strings; empty strings are ignored.
  public init(_ stops: [String]) {
    self.stops = stops.filter { !$0.isEmpty }.map { Array($0.utf8) }
  }

  /// Takes the next piece and returns what may be shown.
  ///
  /// After a match nothing more is returned.
  public mutating func append(_ piece: String) -> String {
    guard match == nil else { return "" }
    guard !stops.isEmpty else { return piece }
    held += piece.utf8
    // The earliest match wins; at one place, the longest.
    for start in held.indices {
      let rest = held[start...]
      if let stop = stops.filter({ rest.starts(with: $0) }).max(by: { $0.count < $1.count }) {
        // A longer stop string that also begins here may still be arriving.
        if stops.contains(where: { $0.count > rest.count && $0.starts(with: rest) }) {
          return release(start)
        }
        match = String(decoding: stop, as: UTF8.self)
        let shown = release(start)
        held = []
        return shown
      }
      if stops.contains(where: { $0.starts(with: rest) }) { return release(start) }
    }
    return release(held.count)
  }

  /// The text still held back, at the end of generation.
  public mutating func finish() -> String {
    guard match == nil else { return "" }
    for start in held.indices {
      let rest = held[start...]
      if let stop = stops.filter({ rest.starts(with: $0) }).max(by: { $0.count < $1.count }) {
        match = String(decoding: stop, as: UTF8.self)
        let shown = release(start)
        held = []
        return shown
      }
    }
    return release(held.count)
  }

  private mutating func release(_ count: Int) -> String {
    let shown = String(decoding: held.prefix(count), as: UTF8.self)
    held.removeFirst(count)
    return shown
  }
}
