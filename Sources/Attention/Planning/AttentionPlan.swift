internal import CMicrokernels
public import Devices
internal import Tensors

/// Attention of one step, planned once and run for every layer that shares shape and variant.
///
/// ```swift
/// let plan = try AttentionPlan(device: device, shape: shape, variant: .causal)
/// try plan.update(batch)                       // once per step
/// for layer in layers {                        // per layer: tensors only
///   try layer.cache.append(keys: k, values: v, of: batch, on: device)
///   try plan.run(queries: q, cache: layer.cache, output: o)
/// }
/// ```
///
/// Decode, prefill and mixed batches are the same to a plan. `update` distributes the work evenly
/// over the workers (see `Schedule`); `run` allocates nothing. The same batch, shape, variant and number
/// of workers give the same bits, whatever the number of threads. Not for use by two threads at
/// once.
public final class AttentionPlan {
  /// The layer's sizes.
  public let shape: AttentionShape
  /// The kind of attention.
  public let variant: AttentionVariant
  /// The number of queues that work is distributed over.
  ///
  /// It decides the cuts, and so the bits.
  public let workers: Int
  /// The processor that runs the plan.
  public let device: CPUDevice

  /// The query rows of the planned batch, 0 before the first `update`.
  public private(set) var queryCount = 0
  private(set) var pageSize = 0
  private(set) var largestPage: Int32 = -1

  let schedule: Schedule
  let parameters: ParameterStore
  private(set) var code: VariantCode
  private var variantMemory: VariantMemory
  let workspace: AttentionWorkspace

  // The batch, at addresses that a run may read.
  let pageOffsets = Section<Int32>()
  let pageIndices = Section<Int32>()
  let kvLengths = Section<Int32>()
  let queryLengths = Section<Int32>()
  // Of every query row: its request and absolute position.
  let rowRequests = Section<Int32>()
  let rowPositions = Section<Int32>()
  /// The query rows that tiles point into: all rows in order.
  let queryRows = Section<Int32>()

  /// Why a plan could not be made or run.
  public enum Failure: Error, Hashable {
    /// A size is less than 1.
    case size(String, Int)
    /// The query heads are no multiple of the key/value heads.
    case heads(query: Int, kv: Int)
    /// A per-head vector of the variant has the wrong length.
    case perHead(String, expected: Int, found: Int)
    /// The variant's definition, or the data of its parameters.
    case variant(AttentionVariant.Invalid)
    /// A variant without softmax, whose name this is, has no log-sum-exp.
    case noLogSumExp(String)
    /// The scale is not finite.
    case scale(Float)
    /// The number of workers is outside 1 ... 65535.
    case workers(Int)
    /// A matrix has the wrong shape.
    case matrix(String, expected: [Int], found: [Int])
    /// The cache has another shape than the plan.
    case cache(String, expected: Int, found: Int)
    /// The batch names a page that the cache does not have.
    case page(Int, pageCount: Int)
    /// The batch has more tiles or rows than 32 bits count.
    case tooLarge(String)
  }

  /// The most packed rows of a query tile.
  static let largestTile = 128

  /// Makes a plan without a batch.
  ///
  /// - Parameters:
  ///   - device: The processor.
  ///   - shape: The layer's sizes.
  ///   - variant: The kind of attention.
  ///   - workers: The queues to distribute work over; by default one for each thread.
  public init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant = .causal,
    workers: Int? = nil
  ) throws(Failure) {
    for (name, size) in [
      ("query heads", shape.queryHeads), ("kv heads", shape.kvHeads),
      ("head dimension", shape.headDimension), ("value dimension", shape.valueDimension),
    ] where size < 1 || size > 1 << 20 {
      throw .size(name, size)
    }
    guard shape.queryHeads % shape.kvHeads == 0 else {
      throw .heads(query: shape.queryHeads, kv: shape.kvHeads)
    }
    do throws(AttentionVariant.Invalid) {
      try variant.check(headDimension: shape.headDimension, valueDimension: shape.valueDimension)
    } catch {
      throw .variant(error)
    }
    for (name, values) in zip(variant.declarations.vectors, variant.parameters.vectors)
    where values.count != shape.queryHeads {
      throw .perHead(name, expected: shape.queryHeads, found: values.count)
    }
    if let scale = variant.scale, !scale.isFinite { throw .scale(scale) }
    let workers = workers ?? device.pool.count
    guard (1...0xFFFF).contains(workers) else { throw .workers(workers) }
    self.shape = shape
    self.variant = variant
    self.workers = workers
    self.device = device
    schedule = Schedule(
      workers: workers, kvHeads: shape.kvHeads, group: shape.groupSize,
      granule: Int(SWA_PANEL_TOKENS))
    parameters = ParameterStore(variant, heads: shape.queryHeads, kvHeads: shape.kvHeads)
    code = VariantCode(variant, shape, bound: parameters.bound, parameters.data)
    variantMemory = VariantMemory(code, shape: shape, on: device)
    workspace = AttentionWorkspace(
      shape: shape, threads: device.pool.count, variants: variantMemory.scratches)
  }

  /// Makes a plan for a batch.
  public convenience init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant = .causal,
    batch: AttentionBatch, tensors: VariantTensors? = nil, workers: Int? = nil
  ) throws(Failure) {
    try self.init(device: device, shape: shape, variant: variant, workers: workers)
    try update(batch, tensors: tensors)
  }

  /// Plans a batch, replacing the one before.
  ///
  /// Reuses the storage of earlier batches; the workspace grows where a batch needs more than any
  /// before it.
  ///
  /// - Parameters:
  ///   - batch: The requests of the step.
  ///   - tensors: The data of the variant's tensor parameters and masks for this batch. Data that
  ///     differs from layer to layer may be replaced by ``bind(_:)``.
  public func update(_ batch: AttentionBatch, tensors: VariantTensors? = nil) throws(Failure) {
    let group = shape.groupSize
    guard batch.queries.total.multipliedReportingOverflow(by: group).overflow == false,
      batch.queries.total * group < Int(Int32.max) / 2
    else { throw .tooLarge("query rows") }
    guard batch.queries.total * group / Self.largestTile + batch.requestCount < 1 << 22 else {
      throw .tooLarge("query tiles")
    }
    parameters.begin(batch)
    if let tensors { try take(tensors) }
    lower()
    take(batch)
    distribute()
  }

  /// Cuts the batch into tiles and these into work.
  private func distribute() {
    code.reserveTables(
      kvLengths: kvLengths.elements, queryLengths: queryLengths.elements, shape, on: device)
    schedule.removeAllTiles()
    var firstQuery = 0
    for request in 0..<queryLengths.count {
      addTiles(of: request, firstQuery: firstQuery)
      firstQuery += Int(queryLengths.base[request])
    }
    schedule.distribute(queryRows: queryRows.base, queryCount: queryCount)
    workspace.reserve(states: schedule.stateCount)
  }

  /// Copies what a run reads of a batch to where it reads it.
  private func take(_ batch: AttentionBatch) {
    pageSize = batch.pages.pageSize
    pageOffsets.assign(batch.pages.offsets)
    pageIndices.assign(batch.pages.indices)
    kvLengths.assign(batch.pages.kvLengths)
    queryCount = batch.queries.total
    largestPage = -1
    for page in pageIndices.elements { largestPage = max(largestPage, page) }
    queryLengths.removeAll()
    rowRequests.removeAll()
    rowPositions.removeAll()
    queryRows.removeAll()
    for request in 0..<batch.requestCount {
      let rows = batch.queries[request]
      queryLengths.append(Int32(rows.count))
      let first = kvLengths.base[request] - Int32(rows.count)
      for row in rows {
        rowRequests.append(Int32(request))
        rowPositions.append(first + Int32(row - rows.lowerBound))
        queryRows.append(Int32(row))
      }
    }
  }

  /// Replaces the data of tensor parameters and masks, by name; others keep theirs.
  ///
  /// To be called after `update`, before the next run: for data that differs from layer to layer,
  /// as scales of stored keys. Shapes are checked against the planned batch.
  public func bind(_ tensors: VariantTensors) throws(Failure) {
    try take(tensors)
    // Which tensors have data may decide which keys are read.
    if lower() { distribute() }
  }

  private func take(_ tensors: VariantTensors) throws(Failure) {
    do throws(AttentionVariant.Invalid) {
      try parameters.bind(tensors)
    } catch {
      throw .variant(error)
    }
  }

  /// Lowers the variant again where other nullable parameters have data than before.
  @discardableResult
  private func lower() -> Bool {
    if parameters.bound == code.bound { return false }
    code = VariantCode(variant, shape, bound: parameters.bound, parameters.data)
    variantMemory = VariantMemory(code, shape: shape, on: device)
    workspace.attach(variantMemory.scratches)
    return true
  }

  /// Cuts a request's queries into tiles and leaves out the keys that the bounds exclude.
  ///
  /// Tiles hold whole queries where a group fits one.
  private func addTiles(of request: Int, firstQuery: Int) {
    let group = shape.groupSize
    let queryLength = Int(queryLengths.base[request])
    let kvLength = Int(kvLengths.base[request])
    let granule = schedule.granule
    let queries = max(Self.largestTile / group, 1)
    for first in stride(from: 0, to: queryLength, by: queries) {
      let count = min(queries, queryLength - first)
      let start = kvLength - queryLength + first
      let positions = start...start + count - 1
      for member in stride(from: 0, to: count * group, by: Self.largestTile) {
        let tile = QueryTile(
          firstQuery: Int32(firstQuery + first), firstMember: Int32(member),
          rowCount: Int32(min(count * group - member, Self.largestTile)),
          pages: pageOffsets.base[request], kvFirst: 0, kvEnd: 0)
        if code.bounds.hasGaps {
          addSegments(of: tile, positions, kvLength: kvLength, queryLength: queryLength)
        } else {
          let keys = code.bounds.keys(
            queries: positions, kvLength: kvLength, queryLength: queryLength)
          add(tile, keys.lowerBound / granule * granule..<keys.upperBound, isSole: true)
        }
      }
    }
  }

  /// Adds a tile for every run of keys that a disjunction, as sinks or a window, leaves.
  private func addSegments(
    of tile: QueryTile, _ positions: ClosedRange<Int>, kvLength: Int, queryLength: Int
  ) {
    let ranges = code.bounds.segments(
      queries: positions, kvLength: kvLength, queryLength: queryLength,
      granule: schedule.granule, gap: AttentionWorkspace.tileKeys)
    for range in ranges { add(tile, range, isSole: ranges.count == 1) }
  }

  /// The keys of all tiles together, for one key/value head: what the schedule counts.
  package var plannedKeys: Int { schedule.tiles.elements.reduce(0) { $0 + $1.length } }

  private func add(_ tile: QueryTile, _ keys: Range<Int>, isSole: Bool) {
    var tile = tile
    (tile.kvFirst, tile.kvEnd) = (Int32(keys.lowerBound), Int32(keys.upperBound))
    tile.isSole = isSole
    schedule.add(tile)
  }
}

extension AttentionPlan.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .size(let name, let size): "attention plan: \(name) is \(size), expected 1 ... 1048576"
    case .heads(let query, let kv):
      "attention plan: \(query) query heads are no multiple of \(kv) kv heads"
    case .perHead(let name, let expected, let found):
      "attention plan: the variant's \(name) has \(found) entries, expected one for each of "
        + "\(expected) query heads"
    case .variant(let invalid): invalid.description
    case .noLogSumExp(let name):
      "attention: \(name) does not use softmax and has no log-sum-exp"
    case .scale(let scale): "attention plan: scale \(scale) is not finite"
    case .workers(let count): "attention plan: \(count) workers, expected 1 ... 65535"
    case .matrix(let what, let expected, let found):
      "attention: \(what) must be \(expected.map(String.init).joined(separator: " x ")), found "
        + found.map(String.init).joined(separator: " x ")
    case .cache(let what, let expected, let found):
      "attention: the plan has \(what) \(expected), the cache \(found)"
    case .page(let page, let count):
      "attention: the batch names page \(page), the cache has \(count)"
    case .tooLarge(let what): "attention plan: too many \(what)"
    }
  }
}
