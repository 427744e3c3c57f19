/// Learns byte-pair merges (Sennrich et al., arXiv 1508.07909).
///
/// The most frequent pair of neighbouring symbols becomes a symbol, again and again; of equally
/// frequent pairs the one that is last in the order of code points. A word's last character carries
/// `</w>`. The same merges, in the same order, as `subword-nmt learn-bpe`.
public struct BytePairLearner {
  /// Marks the end of a word.
  static let endOfWord = "</w>"

  private struct Pair: Hashable {
    let left, right: Int32
  }

  /// A pair's count when it was noted; old notes are recognised by it.
  private struct Note {
    let count: Int
    let pair: Pair
  }

  private var symbols: [[UInt8]] = []
  private var words: [[Int32]] = []
  private var frequencies: [Int] = []
  private var counts: [Pair: Int] = [:]
  private var places: [Pair: Set<Int32>] = [:]
  private var heap: [Note] = []

  /// The merges of words with their frequencies.
  ///
  /// - Parameters:
  ///   - words: How often each word occurs.
  ///   - count: The most merges; fewer where no pair occurs `leastFrequency` times.
  ///   - leastFrequency: The least that a pair must occur.
  public static func merges(
    of words: [String: Int], count: Int, leastFrequency: Int = 2
  ) -> [(left: String, right: String)] {
    var learner = BytePairLearner(words)
    var merges: [(left: String, right: String)] = []
    while merges.count < count, let (pair, frequency) = learner.best(),
      frequency >= leastFrequency
    {
      merges.append((learner.text(pair.left), learner.text(pair.right)))
      learner.merge(pair)
    }
    return merges
  }

  private init(_ words: [String: Int]) {
    var ids: [String: Int32] = [:]
    for (word, frequency) in words.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    ) {
      let pieces = Self.characters(of: word)
      self.words.append(
        pieces.map { piece in
          if let id = ids[piece] { return id }
          let id = Int32(symbols.count)
          ids[piece] = id
          symbols.append(Array(piece.utf8))
          return id
        })
      frequencies.append(frequency)
    }
    for (i, word) in self.words.enumerated() { add(word, Int32(i), frequencies[i]) }
    for (pair, count) in counts { push(Note(count: count, pair: pair)) }
  }

  /// A word's characters, the last one marked.
  static func characters(of word: String) -> [String] {
    var pieces = word.unicodeScalars.map { String($0) }
    if let last = pieces.popLast() { pieces.append(last + endOfWord) }
    return pieces
  }

  private func text(_ symbol: Int32) -> String {
    String(decoding: symbols[Int(symbol)], as: UTF8.self)
  }

  private mutating func add(_ word: [Int32], _ place: Int32, _ frequency: Int) {
    for (left, right) in zip(word, word.dropFirst()) {
      let pair = Pair(left: left, right: right)
      counts[pair, default: 0] += frequency
      places[pair, default: []].insert(place)
    }
  }

  private mutating func merge(_ pair: Pair) {
    let new = Int32(symbols.count)
    symbols.append(symbols[Int(pair.left)] + symbols[Int(pair.right)])
    var changed: Set<Pair> = []
    for place in places.removeValue(forKey: pair) ?? [] {
      let word = words[Int(place)]
      let frequency = frequencies[Int(place)]
      for (left, right) in zip(word, word.dropFirst()) {
        let old = Pair(left: left, right: right)
        counts[old, default: 0] -= frequency
        changed.insert(old)
      }
      var merged: [Int32] = []
      var i = 0
      while i < word.count {
        if i + 1 < word.count, word[i] == pair.left, word[i + 1] == pair.right {
          merged.append(new)
          i += 2
        } else {
          merged.append(word[i])
          i += 1
        }
      }
      words[Int(place)] = merged
      add(merged, place, frequency)
      for (left, right) in zip(merged, merged.dropFirst()) {
        changed.insert(Pair(left: left, right: right))
      }
    }
    counts[pair] = nil
    for pair in changed {
      if let count = counts[pair], count > 0 {
        push(Note(count: count, pair: pair))
      } else {
        counts[pair] = nil
      }
    }
  }

  /// The most frequent pair; notes of old counts are thrown away.
  private mutating func best() -> (Pair, Int)? {
    while let note = pop() {
      if counts[note.pair] == note.count { return (note.pair, note.count) }
    }
    return nil
  }

  private func isBefore(_ a: Note, _ b: Note) -> Bool {
    if a.count != b.count { return a.count > b.count }
    for (x, y) in [(a.pair.left, b.pair.left), (a.pair.right, b.pair.right)] where x != y {
      return symbols[Int(y)].lexicographicallyPrecedes(symbols[Int(x)])
    }
    return false
  }

  private mutating func push(_ note: Note) {
    heap.append(note)
    var i = heap.count - 1
    while i > 0, isBefore(heap[i], heap[(i - 1) / 2]) {
      heap.swapAt(i, (i - 1) / 2)
      i = (i - 1) / 2
    }
  }

  private mutating func pop() -> Note? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var i = 0
    while true {
      var child = 2 * i + 1
      guard child < heap.count else { return first }
      if child + 1 < heap.count, isBefore(heap[child + 1], heap[child]) { child += 1 }
      guard isBefore(heap[child], heap[i]) else { return first }
      heap.swapAt(i, child)
      i = child
    }
  }
}
