internal import CMicrokernels
public import Devices
public import Tensors

/// Attention for training: forward, and backward through any variant.
///
/// ```swift
/// let attention = try DifferentiableAttention(device: device, shape: shape, variant: softCapped)
/// try attention.update(queries: RaggedIndex(lengths: [7, 12]), keys: RaggedIndex(lengths: [7, 12]))
/// for layer in layers {
///   try attention.forward(queries: q, keys: k, values: v, output: o, lse: lse)
/// }
/// // … the loss, and its gradient dO by the output …
/// let parameters = try attention.backward(
///   queries: q, keys: k, values: v, output: o, lse: lse, outputGradient: dO,
///   queryGradient: dQ, keyGradient: dK, valueGradient: dV)
/// parameters.scalar("cap")
/// ```
///
/// Tensors are plain ragged ones of 32-bit floats, token after token: request r owns rows
/// `queries[r]` of the queries and `keys[r]` of keys and values. Lengths may differ (cross
/// attention) and be 0; as everywhere, a request's queries stand at the end of its keys: query i at
/// position `kvLength − queryLength + i`. Any head dimensions and groups.
///
/// The variant's functors are differentiated symbolically, with softmax or without; scores are
/// recomputed tile by tile, so that no matrix of queries × keys exists. Functors on queries, keys,
/// values and outputs are applied to whole tensors before and after. `backward` gives
/// the same bits on any number of threads; `forward` does for one number of `workers`, as
/// `AttentionPlan`. Not for use by two threads at once.
public final class DifferentiableAttention {
  /// The layer's sizes.
  public let shape: AttentionShape
  /// The kind of attention.
  public let variant: AttentionVariant
  /// The processor that runs it.
  public let device: CPUDevice
  /// The query rows of the planned batch, 0 before the first `update`.
  public private(set) var queryCount = 0
  /// The key and value rows of the planned batch.
  public private(set) var keyCount = 0

  let plan: AttentionPlan
  private(set) var programs: GradientPrograms
  /// Functors on vectors, where the variant has any.
  private(set) var vectors: VectorGradient?
  private let withParameters: Bool
  let workspace: GradientWorkspace
  private(set) var schedule: GradientSchedule
  let queryOffsets = Section<Int>()
  let keyOffsets = Section<Int>()

  /// Where the forward pass reads keys and values.
  private(set) var forwardKeys: ForwardKeys

  /// Why attention could not be planned or run.
  public enum Failure: Error, Hashable {
    /// The shape or the variant's parameters do not fit, or the batch is too large.
    case plan(AttentionPlan.Failure)
    /// The variant, whose name this is, uses softmax and needs a log-sum-exp, or does not and has none.
    case logSumExp(String, isNeeded: Bool)
    /// Queries and keys are of different numbers of requests.
    case requests(queries: Int, keys: Int)
    /// A matrix has the wrong shape.
    case matrix(String, expected: [Int], found: [Int])
    /// The batch's pages could not be made.
    case pages(String)
    /// The system has not that much memory.
    case memory(bytes: Int)
  }

  /// Makes attention without a batch.
  ///
  /// - Parameters:
  ///   - device: The processor.
  ///   - shape: The layer's sizes.
  ///   - variant: The kind of attention.
  ///   - differentiatesParameters: Whether `backward` gives the gradient by the variant's parameters
  ///     too. It costs a pass over a tile's scores for each parameter that logits depend on.
  ///   - workers: The queues that the forward pass distributes work over; by default one for each
  ///     thread.
  public init(
    device: CPUDevice, shape: AttentionShape, variant: AttentionVariant = .causal,
    differentiatesParameters: Bool = true, workers: Int? = nil
  ) throws(Failure) {
    do throws(AttentionVariant.Invalid) {
      try variant.check(headDimension: shape.headDimension, valueDimension: shape.valueDimension)
    } catch {
      throw .plan(.variant(error))
    }
    do {
      plan = try AttentionPlan(
        device: device, shape: shape, variant: variant.withoutVectorFunctors, workers: workers)
    } catch {
      throw .plan(error)
    }
    self.device = device
    self.shape = shape
    self.variant = variant
    withParameters = differentiatesParameters
    forwardKeys = ForwardKeys(shape)
    programs = GradientPrograms(variant, plan.code, withParameters: withParameters)
    vectors = VectorGradient(
      variant, shape, plan.code, withParameters: withParameters, plan.parameters.data, on: device)
    workspace = GradientWorkspace(
      shape: shape, threads: device.pool.count, programs: programs)
    schedule = GradientSchedule(queries: [0], keys: [0], shape: shape, bounds: plan.code.bounds)
  }

  /// Plans a batch, replacing the one before.
  ///
  /// - Parameters:
  ///   - queries: The rows of each request's queries.
  ///   - keys: The rows of each request's keys and values.
  ///   - tensors: The data of the variant's tensor parameters and masks for this batch.
  public func update(
    queries: RaggedIndex, keys: RaggedIndex, tensors: VariantTensors? = nil
  ) throws(Failure) {
    guard queries.count == keys.count else {
      throw .requests(queries: queries.count, keys: keys.count)
    }
    let batch = try forwardKeys.batch(queries: queries, keys: keys)
    do { try plan.update(batch, tensors: tensors) } catch { throw .plan(error) }
    if programs.code !== plan.code {
      programs = GradientPrograms(variant, plan.code, withParameters: withParameters)
      vectors = VectorGradient(
        variant, shape, plan.code, withParameters: withParameters, plan.parameters.data, on: device)
      workspace.programs = programs
    }
    let schedule = GradientSchedule(
      queries: queries.offsets, keys: keys.offsets, shape: shape, bounds: plan.code.bounds)
    try workspace.reserve(schedule)
    self.schedule = schedule
    queryOffsets.assign(queries.offsets)
    keyOffsets.assign(keys.offsets)
    queryCount = queries.total
    keyCount = keys.total
    try vectors?.reserve(queries: queries, keys: keys, on: device)
  }

  func check(_ matrix: MatrixView, _ name: String, rows: Int, columns: Int) throws(Failure) {
    guard matrix.rows == rows, matrix.columns == columns else {
      throw .matrix(name, expected: [rows, columns], found: [matrix.rows, matrix.columns])
    }
  }
}

extension DifferentiableAttention.Failure: CustomStringConvertible {
  /// What is wrong, where, and what was expected.
  public var description: String {
    switch self {
    case .plan(let failure): failure.description
    case .logSumExp(let name, let isNeeded):
      isNeeded
        ? "attention: \(name) uses softmax, and its gradient needs the log-sum-exp"
        : "attention: \(name) does not use softmax and has no log-sum-exp"
    case .requests(let queries, let keys):
      "attention: queries of \(queries) requests but keys of \(keys)"
    case .matrix(let what, let expected, let found):
      "attention: \(what) must be \(expected.map(String.init).joined(separator: " x ")), found "
        + found.map(String.init).joined(separator: " x ")
    case .pages(let reason): reason
    case .memory(let bytes): "attention: the system refused \(bytes) bytes"
    }
  }
}
