/// The most that the batches of a plan may have.
///
/// A plan made with bounds takes all its memory at once, at fixed places: no batch moves a pointer
/// or changes the number of workers.
public struct AttentionBounds: Sendable, Hashable {
  /// Requests.
  public var requests: Int
  /// Query rows of all requests together.
  public var queryRows: Int
  /// Pages of all requests together, a shared page counted for each of them.
  public var pages: Int
  /// Tokens of a page.
  public var pageSize: Int
  /// Pairs of a query row and a shared run that composition may form, each of which costs partial
  /// states; automatic composition stops there.
  public var sharedRows: Int
  /// Block rows of all requests together, and the requests of a batch with pages at positions of
  /// their own; such a batch counts the pages that its rows name.
  public var blockRows: Int

  /// Bounds.
  ///
  /// - Parameters:
  ///   - sharedRows: By default four for each request.
  ///   - blockRows: By default none: every query reads all pages.
  public init(
    requests: Int, queryRows: Int, pages: Int, pageSize: Int = 16, sharedRows: Int? = nil,
    blockRows: Int = 0
  ) {
    self.blockRows = blockRows
    self.requests = requests
    self.queryRows = queryRows
    self.pages = pages
    self.pageSize = pageSize
    self.sharedRows = sharedRows ?? 4 * requests
  }
}

/// The elements that the parts of a plan need for every batch within bounds.
struct PlanCapacity {
  let bounds: AttentionBounds
  /// The pairs that composition may form; 0 where it is off.
  let sharedRows: Int
  let tiles: Int
  let items: Int
  /// Partial states, each of one row.
  let states: Int
  /// (Query, key/value head, part of a tall group).
  let parts: Int
  let merges: Int

  /// - Parameter segments: The most tiles that some queries' keys are in, gaps between them.
  init(_ bounds: AttentionBounds, _ schedule: Schedule, tileQueries: Int, segments: Int) {
    let invariant = schedule.rule == .invariant
    let (requests, queries) = (bounds.requests, bounds.queryRows)
    let queryHeads = schedule.kvHeads * schedule.group
    let largestTile = AttentionPlan.largestTile
    self.bounds = bounds
    sharedRows = invariant ? 0 : bounds.sharedRows
    // Every request, block row and run may leave a tile that is not full. A run has a query. Block
    // rows may be of one head, and every head then has its own.
    let rows = max(min(requests, queries), bounds.blockRows)
    let coverings = bounds.blockRows > 0 ? schedule.kvHeads : 1
    tiles =
      ((queries * coverings / tileQueries + rows) * segments + sharedRows / tileQueries
        + sharedRows) * schedule.parts
    // The most invariant chunks that the keys of one request reach into: the first and the last may
    // not be full. All keys may be one request's.
    let keys = bounds.pages * bounds.pageSize
    let chunks = keys > Schedule.invariantChunk ? keys / Schedule.invariantChunk + 2 : 1
    // Every end of a share adds at most a cut head's piece, its rest and the heads after it.
    items =
      invariant
      ? tiles * chunks + schedule.workers
      : tiles + 3 * schedule.workers
    // See `cutLine` and `cutLongestFirst`; a shared run's row leaves a state there and one more
    // where its request is read for itself.
    let cut =
      switch schedule.rule {
      case .line: 2 * (schedule.workers - 1) * largestTile
      case .longestFirst: 2 * schedule.workers * largestTile * schedule.kvHeads
      case .invariant:
        chunks > 1 ? queries * chunks * queryHeads : 0
      }
    // Tiles that share rows leave a state for each of them.
    let gaps = segments > 1 ? queries * segments * queryHeads : 0
    states = cut + 2 * sharedRows * queryHeads + gaps
    parts = queries * schedule.kvHeads * schedule.parts
    merges = min(parts, states)
  }
}

/// Hands out consecutive parts of a buffer; with no buffer it only counts.
struct PlanMemory {
  private(set) var bytes = 0
  private let base: UnsafeMutableRawPointer?

  init(_ base: UnsafeMutableRawPointer? = nil) { self.base = base }

  var isCounting: Bool { base == nil }

  mutating func take<T>(_ type: T.Type, _ count: Int) -> UnsafeMutablePointer<T> {
    // Counting needs some address that is never used.
    let start = base ?? UnsafeMutableRawPointer(bitPattern: 64).unsafelyUnwrapped
    let pointer = (start + bytes).assumingMemoryBound(to: T.self)
    // An odd number of lines after each part keeps parts out of each other's cache sets.
    bytes += (max(count, 1) * MemoryLayout<T>.stride + 63) / 64 * 64 + 64
    return pointer
  }

  /// Room for `capacity` elements of a section, to which it moves.
  mutating func take<T>(_ section: Section<T>, _ capacity: Int) {
    let memory = take(T.self, capacity)
    if base != nil { section.place(at: memory, capacity: capacity) }
  }
}
