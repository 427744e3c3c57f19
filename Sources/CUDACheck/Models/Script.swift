import Attention
import LanguageModels
import Tensors
import Tokenizers

/// Sequences of arbitrary tokens that grow in pages of one pool.
struct Script {
  /// Pages of the pool.
  static let pages = 12

  private var lengths: [Int: Int] = [:]
  private var pages: [Int: [Int]] = [:]
  private var nextPage = 0
  private var nextToken: TokenID = 65

  /// The step in which sequences grow by some tokens each.
  mutating func step(_ rows: [(sequence: Int, tokens: Int)]) throws -> ModelStep {
    var tokens: [TokenID] = []
    var requests: [(pages: [Int], kvLength: Int)] = []
    for (sequence, count) in rows {
      let length = lengths[sequence, default: 0] + count
      lengths[sequence] = length
      while pages[sequence, default: []].count * 16 < length {
        pages[sequence, default: []].append(newPage())
      }
      for _ in 0..<count {
        tokens.append(nextToken)
        nextToken = (nextToken * 17 + 23) % 256
      }
      requests.append((pages[sequence] ?? [], length))
    }
    return ModelStep(
      tokens: tokens,
      batch: try AttentionBatch(
        queries: RaggedIndex(lengths: rows.map(\.tokens)),
        pages: PageTable(requests: requests, pageSize: 16)))
  }

  /// A page that nobody has, the last ones first.
  private mutating func newPage() -> Int {
    nextPage += 1
    return Self.pages - nextPage
  }

  /// Lets a sequence go on from where another stands, and says which page is to be copied.
  mutating func fork(_ source: Int, as target: Int) -> [(source: Int, target: Int)] {
    lengths[target] = lengths[source]
    guard var list = pages[source], let last = list.popLast() else { return [] }
    let copy = newPage()
    pages[target] = list + [copy]
    return [(last, copy)]
  }
}
