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
/// Decode, prefill and mixed batches are the same to a plan. `update` finds the pages that requests
/// share (see `Composition`) and deals the work out evenly (see `Schedule`); `run` allocates
/// nothing. The same batch, shape, variant and number of workers give the same bits, whatever the
/// number of threads. Not for use by two threads at once.
///
/// A *batch-invariant* plan promises more: a request's bits depend on nothing but itself, whoever
/// its neighbours are. Its cuts are at fixed lengths, and every request is read for itself.
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
  /// How batches are decomposed unless `update` says otherwise.
  public let composition: Composition
  /// The most that a batch may have; `nil` where the plan grows with its batches.
  public let bounds: AttentionBounds?

  /// The query rows of the planned batch, 0 before the first `update`.
  public internal(set) var queryCount = 0
  var pageSize = 0
  var largestPage: Int32 = -1

  package let schedule: Schedule
  let parameters: ParameterStore
  var code: VariantCode
  var variantMemory: VariantMemory
  let workspace: AttentionWorkspace
  let tileRule: TileRule

  // The batch, at addresses that a run may read.
  let pageOffsets = Section<Int32>()
  let pageIndices = Section<Int32>()
  /// The absolute position of each page's first token; empty where no tile asks for it.
  let pagePositions = Section<Int32>()
  /// Block rows, where not all queries read all keys of their requests.
  let blockRows = Section<BlockRow>()
  let kvLengths = Section<Int32>()
  let queryOffsets = Section<Int32>()
  let queryLengths = Section<Int32>()
  /// The keys that the mask's bounds leave to each request.
  let requestKeys = Section<KeyRange>()
  // Of every query row: its request and absolute position.
  let rowRequests = Section<Int32>()
  let rowPositions = Section<Int32>()
  /// The query rows that tiles point into: all rows in order, then those of shared runs.
  let queryRows = Section<Int32>()
  let sharedRuns = SharedRuns()
  /// How the planned batch is decomposed.
  var planned = Composition.off

  /// The most packed rows of a query tile.
  static let largestTile = 128

  /// How many rows a query tile has.
  package enum TileRule: Sendable {
    /// As many as its request fills, up to the largest tile.
    case ofRequest
    /// The paper's: the smallest power of two that is at least the batch's average packed length.
    case ofAverage
  }

  /// Makes a plan without a batch.
  ///
  /// - Parameters:
  ///   - device: The processor.
  ///   - shape: The layer's sizes.
  ///   - variant: The kind of attention.
  ///   - workers: The queues to distribute work over; by default one for each thread.
  ///   - composition: How batches are decomposed where requests share pages.
  ///   - isBatchInvariant: Whether a request's bits must not depend on its neighbours. Composition
  ///     is then off, since a row's bits depend on the rows that it shares a tile with.
  ///   - bounds: The most that a batch may have. All memory is then taken now, at fixed places, and
  ///     a batch that exceeds a bound is an error; by default the plan grows with its batches.
  public convenience init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant = .causal,
    workers: Int? = nil, composition: Composition = .automatic, isBatchInvariant: Bool = false,
    bounds: AttentionBounds? = nil
  ) throws(Failure) {
    try self.init(
      device: device, shape: shape, variant: variant, workers: workers, composition: composition,
      rule: isBatchInvariant ? .invariant : .line, tileRule: .ofRequest, bounds: bounds)
  }

  /// Makes a plan for a batch.
  public convenience init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant = .causal,
    batch: AttentionBatch, tensors: VariantTensors? = nil, workers: Int? = nil,
    composition: Composition = .automatic, isBatchInvariant: Bool = false,
    bounds: AttentionBounds? = nil
  ) throws(Failure) {
    try self.init(
      device: device, shape: shape, variant: variant, workers: workers, composition: composition,
      isBatchInvariant: isBatchInvariant, bounds: bounds)
    try update(batch, tensors: tensors)
  }

  /// A plan with any rule of scheduling, to measure it, and for workers of any kind.
  ///
  /// - Parameter cost: What work costs a worker; by default one of the processor's threads.
  package init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant, workers: Int?,
    composition: Composition, rule: Schedule.Rule, tileRule: TileRule, bounds: AttentionBounds?,
    cost: CostModel? = nil
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
    if rule == .invariant, case .explicit = composition { throw .invariantComposition }
    self.shape = shape
    self.variant = variant
    self.workers = workers
    self.device = device
    self.composition = rule == .invariant ? .off : composition
    self.bounds = bounds
    self.tileRule = tileRule
    schedule = Schedule(
      workers: workers, kvHeads: shape.kvHeads, group: shape.groupSize,
      granule: Int(SWA_PANEL_TOKENS), rule: rule, cost: cost ?? CostModel(device.instructionSet))
    parameters = ParameterStore(variant, heads: shape.queryHeads, kvHeads: shape.kvHeads)
    code = VariantCode(variant, shape, bound: parameters.bound, parameters.data, on: device)
    variantMemory = VariantMemory(code.needs, shape: shape, on: device)
    workspace = AttentionWorkspace(shape: shape, variants: variantMemory.scratches)
    if let bounds { try fix(bounds) } else { workspace.allocate() }
  }
}
