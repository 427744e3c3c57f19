public import Tokenizers

/// Which tokens may come next: one bit for each id of a vocabulary, 1 where it may.
public struct TokenMask: Sendable, Equatable {
  /// The number of ids; bits past it are 0.
  public let count: Int
  /// The bits: id `i` is bit `i % 64`, counted from the least significant, of word `i / 64`.
  public internal(set) var words: [UInt64]

  /// A mask that allows nothing.
  public init(count: Int) {
    self.count = max(count, 0)
    words = Array(repeating: 0, count: (self.count + 63) / 64)
  }

  /// Whether a token may come next; false for ids outside the vocabulary.
  public subscript(id: TokenID) -> Bool {
    get {
      guard id >= 0, Int(id) < count else { return false }
      return words[Int(id) >> 6] >> (UInt64(id) & 63) & 1 == 1
    }
    set {
      guard id >= 0, Int(id) < count else { return }
      let bit = UInt64(1) << (UInt64(id) & 63)
      if newValue { words[Int(id) >> 6] |= bit } else { words[Int(id) >> 6] &= ~bit }
    }
  }

  /// Whether no token may come next.
  public var isEmpty: Bool { words.allSatisfy { $0 == 0 } }

  /// The number of tokens that may come next.
  public var allowedCount: Int { words.reduce(0) { $0 + $1.nonzeroBitCount } }

  /// The ids that may come next, in order.
  public var allowed: [TokenID] {
    var ids: [TokenID] = []
    for (i, word) in words.enumerated() {
      var rest = word
      while rest != 0 {
        ids.append(TokenID(truncatingIfNeeded: i * 64 + rest.trailingZeroBitCount))
        rest &= rest - 1
      }
    }
    return ids
  }

  /// Sets the logit of every token that may not come next to −∞.
  ///
  /// - Parameter logits: one for each id; those past the mask's count are forbidden too.
  public func apply(to logits: inout MutableSpan<Float>) {
    for (i, word) in words.enumerated() where word != .max {
      let first = i * 64
      for bit in 0..<min(64, max(0, logits.count - first)) where word >> UInt64(bit) & 1 == 0 {
        logits[first + bit] = -.infinity
      }
    }
    let end = words.count * 64
    if end < logits.count {
      for i in end..<logits.count { logits[i] = -.infinity }
    }
  }
}

/// The bits of a mask in the smaller of two forms.
enum CompactMask: Sendable {
  case few([TokenID])
  case words([UInt64])

  init(_ words: [UInt64]) {
    let allowed = words.reduce(0) { $0 + $1.nonzeroBitCount }
    if allowed >= words.count * 2 {
      self = .words(words)
    } else {
      var mask = TokenMask(count: words.count * 64)
      mask.words = words
      self = .few(mask.allowed)
    }
  }

  /// Adds the bits to others.
  func formUnion(into words: inout [UInt64]) {
    switch self {
    case .few(let ids):
      for id in ids { words[Int(id) >> 6] |= 1 << (UInt64(id) & 63) }
    case .words(let own):
      for i in own.indices { words[i] |= own[i] }
    }
  }

  /// About how many bytes it takes.
  var byteCount: Int {
    switch self {
    case .few(let ids): 64 + ids.count * 4
    case .words(let words): 64 + words.count * 8
    }
  }
}
