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
  let bounds: MaskBounds
  let boundList = Section<MaskBounds.Bound>()
  let program: TileProgram.Executable
  let unmasked: TileProgram.Executable
  let residual: Expression?
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
    for (name, values) in zip(variant.perHeadNames, variant.parameters.vectors)
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
    bounds = MaskBounds(variant.maskExpression.resolving(variant.parameters))
    boundList.assign(bounds.bounds)
    residual = bounds.residual
    let logits = variant.logitsExpression.resolving(variant.parameters)
    let vectors = variant.parameters.vectors
    program = TileProgram.Executable(
      TileProgram(logits: logits, mask: residual), vectors: vectors, heads: shape.queryHeads)
    unmasked = TileProgram.Executable(
      TileProgram(logits: logits, mask: nil), vectors: vectors, heads: shape.queryHeads)
    workspace = AttentionWorkspace(
      shape: shape, threads: device.pool.count, program: program,
      valueStrip: device.attentionKernels.value_strip)
  }

  /// Makes a plan for a batch.
  public convenience init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant = .causal,
    batch: AttentionBatch, workers: Int? = nil
  ) throws(Failure) {
    try self.init(device: device, shape: shape, variant: variant, workers: workers)
    try update(batch)
  }

  /// Plans a batch, replacing the one before.
  ///
  /// Reuses the storage of earlier batches; the workspace grows where a batch needs more than any
  /// before it.
  public func update(_ batch: AttentionBatch) throws(Failure) {
    let group = shape.groupSize
    guard batch.queries.total.multipliedReportingOverflow(by: group).overflow == false,
      batch.queries.total * group < Int(Int32.max) / 2
    else { throw .tooLarge("query rows") }
    guard batch.queries.total * group / Self.largestTile + batch.requestCount < 1 << 22 else {
      throw .tooLarge("query tiles")
    }
    take(batch)
    schedule.removeAllTiles()
    for request in 0..<batch.requestCount {
      addTiles(of: request, firstQuery: batch.queries.offsets[request])
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
      let keys = bounds.keys(queries: start...start + count - 1, kvLength: kvLength)
      for member in stride(from: 0, to: count * group, by: Self.largestTile) {
        schedule.add(
          QueryTile(
            firstQuery: Int32(firstQuery + first), firstMember: Int32(member),
            rowCount: Int32(min(count * group - member, Self.largestTile)),
            pages: pageOffsets.base[request],
            kvFirst: Int32(keys.lowerBound / granule * granule), kvEnd: Int32(keys.upperBound)))
      }
    }
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
