import Tokenizers

/// Guesses of what follows a sequence: a chain, or a tree of which every path is one guess.
struct SequenceDraft {
  /// The guessed tokens, parents before their children.
  private(set) var tokens: [TokenID] = []
  /// The guess before each one; −1 stands for the sequence's last token.
  private(set) var parents: [Int] = []

  /// The number of guesses.
  var count: Int { tokens.count }

  /// Whether there are guesses.
  var isEmpty: Bool { tokens.isEmpty }

  /// Whether every guess follows the one before it.
  var isChain: Bool { parents.indices.allSatisfy { parents[$0] == $0 - 1 } }

  /// The guesses up to guess `node`, itself among them.
  func depth(of node: Int) -> Int { node < 0 ? 0 : 1 + depth(of: parents[node]) }

  /// The guess of `token` after guess `node`.
  func child(of node: Int, _ token: TokenID) -> Int? {
    tokens.indices.first { parents[$0] == node && tokens[$0] == token }
  }

  /// Adds a path from the last token on, as far as `most` guesses allow; what is there is shared.
  mutating func add(_ path: ArraySlice<TokenID>, most: Int) {
    var node = -1
    for token in path {
      if let next = child(of: node, token) {
        node = next
      } else {
        guard count < most else { return }
        tokens.append(token)
        parents.append(node)
        node = count - 1
      }
    }
  }

  /// What followed the last tokens of a sequence where they occurred before (prompt look-up
  /// decoding; Yang et al., arXiv 2304.04487).
  ///
  /// The longest of the last three, two or one tokens that occurred before counts, its latest
  /// occurrence first.
  ///
  /// - Parameters:
  ///   - most: The most guesses.
  ///   - branches: The most occurrences that are followed.
  init(lookup tokens: [TokenID], most: Int, branches: Int) {
    self.init()
    tokens.withUnsafeBufferPointer { all in
      for length in stride(from: min(3, all.count - 1), to: 0, by: -1) {
        let suffix = all.count - length
        var left = branches
        var start = suffix - 1
        while start >= 0, left > 0 {
          if (0..<length).allSatisfy({ all[start + $0] == all[suffix + $0] }) {
            let next = start + length
            add(tokens[next..<min(next + most, tokens.count)], most: most)
            left -= 1
          }
          start -= 1
        }
        if left < branches { return }
      }
    }
  }

  /// No guesses.
  init() {}
}
