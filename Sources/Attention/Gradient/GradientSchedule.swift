/// A run of keys of one request and one key/value head: what a thread does at a time.
///
/// Its keys' and values' gradients are its own. So is the queries' gradient where it has all keys
/// of the request; otherwise it leaves a part of it.
struct GradientUnit: Sendable, Hashable, BitwiseCopyable {
  /// The request.
  var request: Int
  /// The key/value head.
  var head: Int
  /// The first key.
  var keyFirst: Int
  /// The end of the keys.
  var keyEnd: Int
  /// Where in the workspace its part of the queries' gradient begins, in rows; −1 writes straight
  /// to the output.
  var partialRow: Int
  /// Its number in the order of requests, heads and keys.
  var number: Int
}

/// The parts of one queries' gradient, one after the other in the workspace.
struct GradientMerge: Sendable, Hashable, BitwiseCopyable {
  /// The request.
  var request: Int
  /// The key/value head.
  var head: Int
  /// The first row of the first part.
  var partialRow: Int
  /// The number of parts.
  var count: Int
}

/// The backward pass of a batch cut into units.
///
/// The cuts follow from the lengths alone, so the bits do not depend on the number of threads. A
/// batch of many requests and heads is not cut any further; the keys of one with few are, so that
/// there is work for many threads.
struct GradientSchedule {
  /// The units, the most expensive first.
  private(set) var units: [GradientUnit] = []
  /// The queries' gradients that were cut.
  private(set) var merges: [GradientMerge] = []
  /// Rows of all parts together.
  private(set) var partialRows = 0
  /// The most packed rows (query, head of the group) of a request.
  private(set) var largestRequest = 0

  /// Units to aim at where requests and heads are fewer.
  private static let wanted = 64
  /// The most parts of a queries' gradient.
  private static let mostParts = 8
  /// Keys that make a part worth its merge.
  private static let leastKeys = 2 * GradientWorkspace.tileKeys

  /// Cuts a batch.
  init(queries: [Int], keys: [Int], shape: AttentionShape, bounds: MaskBounds) {
    let requests = queries.count - 1
    let heads = max(requests * shape.kvHeads, 1)
    var costs: [Int] = []
    for request in 0..<requests {
      let queryLength = queries[request + 1] - queries[request]
      let kvLength = keys[request + 1] - keys[request]
      let rows = queryLength * shape.groupSize
      largestRequest = max(largestRequest, rows)
      let ranges = Self.parts(of: kvLength, units: heads)
      let scores = ranges.map {
        Self.cost(keys: $0, queryLength: queryLength, kvLength: kvLength, bounds)
          * shape.groupSize
      }
      for head in 0..<shape.kvHeads {
        if ranges.count > 1 {
          merges.append(
            GradientMerge(
              request: request, head: head, partialRow: partialRows, count: ranges.count))
        }
        for (keys, cost) in zip(ranges, scores) {
          units.append(
            GradientUnit(
              request: request, head: head, keyFirst: keys.lowerBound, keyEnd: keys.upperBound,
              partialRow: ranges.count > 1 ? partialRows : -1, number: units.count))
          costs.append(cost)
          if ranges.count > 1 { partialRows += rows }
        }
      }
    }
    units.sort { (costs[$1.number], $0.number) < (costs[$0.number], $1.number) }
  }

  /// Runs of whole tiles of keys.
  private static func parts(of kvLength: Int, units: Int) -> [Range<Int>] {
    let tile = GradientWorkspace.tileKeys
    let parts = max(min((wanted + units - 1) / units, kvLength / leastKeys, mostParts), 1)
    let step = max(((kvLength + parts - 1) / parts + tile - 1) / tile * tile, 1)
    return kvLength == 0
      ? [0..<0]
      : stride(from: 0, to: kvLength, by: step).map { $0..<min($0 + step, kvLength) }
  }

  /// The scores of a run of keys with one head's queries, to the nearest tile, and a little for each
  /// query and key.
  private static func cost(
    keys: Range<Int>, queryLength: Int, kvLength: Int, _ bounds: MaskBounds
  ) -> Int {
    var sum = queryLength + keys.count
    let step = GradientWorkspace.tileRows
    for first in stride(from: 0, to: queryLength, by: step) {
      let last = min(first + step, queryLength) - 1
      let start = kvLength - queryLength
      let seen = bounds.keys(
        queries: start + first...start + last, kvLength: kvLength, queryLength: queryLength)
      sum += seen.clamped(to: keys).count * (last + 1 - first)
    }
    return sum
  }
}
