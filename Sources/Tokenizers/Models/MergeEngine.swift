/// A run of characters that is, so far, one symbol.
struct MergeSymbol {
  /// The token with this spelling, or −1.
  var id: TokenID
  /// Bytes of the text it covers.
  var start: Int32
  var length: Int32
}

/// What two neighbouring symbols become, and how urgently: the lowest rank merges first.
protocol MergeRules {
  func merge(_ left: MergeSymbol, _ right: MergeSymbol, _ bytes: [UInt8]) -> PairTable.Merge?
}

/// Greedy pair merging, lowest rank first and leftmost among equals.
///
/// Words are short: up to `scanLimit` symbols the best pair is found by looking at all of them. Longer
/// runs use a heap over a linked list, O(n log n). The buffers are kept from word to word.
struct MergeEngine {
  private static let scanLimit = 24

  var symbols: [MergeSymbol] = []
  private var merges: [PairTable.Merge] = []
  private var next: [Int32] = []
  private var previous: [Int32] = []
  private var heap = MergeHeap()

  /// Merges `symbols` in place.
  mutating func run(_ rules: some MergeRules, _ bytes: [UInt8]) {
    if symbols.count < 2 { return }
    if symbols.count <= Self.scanLimit { scan(rules, bytes) } else { heapRun(rules, bytes) }
  }

  private mutating func scan(_ rules: some MergeRules, _ bytes: [UInt8]) {
    let none = PairTable.Merge(rank: .max, result: -1)
    merges.removeAll(keepingCapacity: true)
    for i in 0..<symbols.count - 1 {
      merges.append(rules.merge(symbols[i], symbols[i + 1], bytes) ?? none)
    }
    while true {
      var best = -1
      var rank = Int32.max
      for i in merges.indices where merges[i].rank < rank {
        rank = merges[i].rank
        best = i
      }
      if best < 0 { return }
      symbols[best].id = merges[best].result
      symbols[best].length += symbols[best + 1].length
      symbols.remove(at: best + 1)
      merges.remove(at: best)
      if best < merges.count {
        merges[best] = rules.merge(symbols[best], symbols[best + 1], bytes) ?? none
      }
      if best > 0 {
        merges[best - 1] = rules.merge(symbols[best - 1], symbols[best], bytes) ?? none
      }
    }
  }

  private mutating func heapRun(_ rules: some MergeRules, _ bytes: [UInt8]) {
    let count = symbols.count
    next.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    heap.removeAll()
    for i in 0..<Int32(count) {
      next.append(i + 1)
      previous.append(i - 1)
    }
    for i in 0..<count - 1 { consider(i, i + 1, rules, bytes) }
    while let entry = heap.pop() {
      let left = Int(entry.position)
      guard symbols[left].length == entry.leftLength else { continue }
      let right = Int(next[left])
      guard right < count, symbols[right].length == entry.rightLength else { continue }
      symbols[left].id = entry.result
      symbols[left].length += symbols[right].length
      // A symbol of length 0 is gone; no live entry has that length.
      symbols[right].length = 0
      next[left] = next[right]
      if Int(next[right]) < count { previous[Int(next[right])] = Int32(left) }
      if previous[left] >= 0 { consider(Int(previous[left]), left, rules, bytes) }
      if Int(next[left]) < count { consider(left, Int(next[left]), rules, bytes) }
    }
    symbols.removeAll { $0.length == 0 }
  }

  private mutating func consider(
    _ left: Int, _ right: Int, _ rules: some MergeRules, _ bytes: [UInt8]
  ) {
    guard let merge = rules.merge(symbols[left], symbols[right], bytes) else { return }
    heap.push(
      MergeHeap.Entry(
        rank: merge.rank, position: Int32(left), leftLength: symbols[left].length,
        rightLength: symbols[right].length, result: merge.result))
  }
}

/// A binary min-heap of candidate merges.
struct MergeHeap {
  struct Entry {
    var rank: Int32
    var position: Int32
    /// Both lengths at the time of entry: symbols only grow, so equal lengths mean the same symbols.
    var leftLength: Int32
    var rightLength: Int32
    var result: TokenID

    func precedes(_ other: Entry) -> Bool {
      rank != other.rank ? rank < other.rank : position < other.position
    }
  }

  private var entries: [Entry] = []

  mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

  mutating func push(_ entry: Entry) {
    entries.append(entry)
    var child = entries.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      guard entry.precedes(entries[parent]) else { break }
      entries[child] = entries[parent]
      child = parent
    }
    entries[child] = entry
  }

  mutating func pop() -> Entry? {
    guard let top = entries.first, let last = entries.popLast() else { return nil }
    if entries.isEmpty { return top }
    var parent = 0
    while true {
      var child = 2 * parent + 1
      if child >= entries.count { break }
      if child + 1 < entries.count, entries[child + 1].precedes(entries[child]) { child += 1 }
      guard entries[child].precedes(last) else { break }
      entries[parent] = entries[child]
      parent = child
    }
    entries[parent] = last
    return top
  }
}
