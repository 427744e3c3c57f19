/// Spellings in byte order, searched one byte at a time: a trie without nodes.
struct SortedPieces: Sendable {
  private var ids: [TokenID] = []
  private var pool: [UInt8] = []
  private var starts: [Int] = [0]
  /// Where the spellings that begin with each byte start; 257 entries.
  private var firstBytes: [Int] = []

  var isEmpty: Bool { ids.isEmpty }

  init(_ ids: some Sequence<TokenID>, of pieces: PieceTable) {
    let sorted = ids.map { ($0, pieces[$0]) }.filter { !$0.1.isEmpty }
      .sorted { $0.1.lexicographicallyPrecedes($1.1) }
    for (id, piece) in sorted {
      self.ids.append(id)
      pool.append(contentsOf: piece)
      starts.append(pool.count)
    }
    firstBytes = [Int](repeating: 0, count: 257)
    for i in self.ids.indices { firstBytes[Int(pool[starts[i]]) + 1] += 1 }
    for byte in 0..<256 { firstBytes[byte + 1] += firstBytes[byte] }
  }

  /// Calls `body` with every spelling that begins at `start`, from the shortest to the longest.
  @inline(__always)
  func forEachPrefix(
    of bytes: [UInt8], at start: Int, end: Int, _ body: (_ id: TokenID, _ end: Int) -> Void
  ) {
    guard start < end else { return }
    var low = firstBytes[Int(bytes[start])]
    var high = firstBytes[Int(bytes[start]) + 1]
    var depth = 1
    while low < high {
      if starts[low + 1] - starts[low] == depth {
        body(ids[low], start + depth)
        low += 1
      }
      guard low < high, start + depth < end else { return }
      let byte = bytes[start + depth]
      let last = high
      low = firstIndex(from: low, to: last, depth) { $0 >= byte }
      high = firstIndex(from: low, to: last, depth) { $0 > byte }
      depth += 1
    }
  }

  /// The longest spelling that begins at `start`.
  func longestPrefix(of bytes: [UInt8], at start: Int, end: Int) -> (id: TokenID, end: Int)? {
    var best: (TokenID, Int)?
    forEachPrefix(of: bytes, at: start, end: end) { best = ($0, $1) }
    return best
  }

  /// Binary search on the byte at `depth`; all candidates are longer than `depth`.
  @inline(__always)
  private func firstIndex(
    from low: Int, to high: Int, _ depth: Int, where holds: (UInt8) -> Bool
  ) -> Int {
    var low = low
    var high = high
    while low < high {
      let middle = (low + high) / 2
      if holds(pool[starts[middle] + depth]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
