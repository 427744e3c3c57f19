public import Devices
public import Tensors

/// Attention of one step on a GPU: planned by the CPU's planner, uploaded in one copy, run for every
/// layer by one persistent kernel whose blocks are the plan's workers.
///
/// ```swift
/// let attention = try CUDAAttention(context, host: device, shape: shape, bounds: bounds) {
///   try compiler.module($0)
/// }
/// try attention.update(batch, on: stream)       // once per step: one copy
/// for layer in layers {                         // per layer: one launch
///   try attention.run(queries: q, cache: layer.cache, output: o, on: stream)
/// }
/// ```
///
/// Everything lies at places that no batch within the bounds moves, and all counts in memory: launches
/// that `CUDAStream.capture` has collected once serve every later batch. The next step can be planned
/// while the device works on this one. Not for use by two threads at once.
public final class CUDAAttention {
  /// The plan; its last batch is what runs.
  public let plan: AttentionPlan
  /// Of queries and outputs.
  public let queryType: ElementType
  /// Of keys and values.
  public let storedType: ElementType
  /// Which engine multiplies.
  public let tile: CUDAAttentionKernel.Tile
  /// The bytes on the device: lists and partial states.
  public let workspaceBytes: Int
  /// Where the step's other inputs lie on the device, `inputBytes` of them.
  public var inputs: CUDAAddress { memory.address }

  private let context: CUDAContext
  private let module: (CUDASource) throws(CUDAFailure) -> CUDAModule
  private let tables: CUDAPlanTables
  private let memory: CUDABuffer
  private let fixed: CUDAAttentionArguments
  private var staging: [Staging]
  private var turn = 0
  private var batch: CUDAAttentionArguments?
  private var kernel: (CUDAKernel, bound: Set<Expression.Nullable>)?

  /// What a copy reads until its event has happened.
  private struct Staging {
    let buffer: CUDAPinnedBuffer
    let isRead: CUDAEvent
    var isUsed = false
  }

  /// Why attention cannot run.
  public enum Failure: Error, Hashable {
    /// The plan, or the batch.
    case plan(AttentionPlan.Failure)
    /// There is no such kernel.
    case kernel(CUDAAttentionKernel.Unsupported)
    /// The driver or the compiler.
    case device(CUDAFailure)
    /// Blocks wait for each other, so that all of them must run at a time.
    case workers(Int, most: Int)
    /// TMA reads whole boxes of sixteen tokens.
    case pageSize(Int)
    /// Tensors and masks of a batch are more than was said.
    case data(bytes: Int, limit: Int)
    /// Other nullable tensors have data than when the kernel was made.
    case otherTensors
    /// `update` comes before `run`.
    case noBatch
    /// A matrix has the wrong number of columns.
    case columns(String, expected: Int, found: Int)
  }

  /// Takes all memory that batches within bounds need.
  ///
  /// - Parameters:
  ///   - context: The device.
  ///   - host: The processor that plans.
  ///   - shape: The layer's sizes.
  ///   - variant: The kind of attention.
  ///   - queryType: Of queries and outputs.
  ///   - storedType: Of keys and values.
  ///   - tile: Which engine multiplies; by default what suits the bounds, which is a guess from the
  ///     rows of a request.
  ///   - workers: Blocks of the kernel; by default one for each multiprocessor, which is also the most,
  ///     since blocks wait for each other.
  ///   - bounds: The most that a batch may have.
  ///   - tileRows: The query rows of a request that the tile should suit, where no tile is given; by
  ///     default the bounds' average.
  ///   - composition: Whether pages that requests share are read once for all of them.
  ///   - dataBytes: The most that a batch's tensors and masks take.
  ///   - inputBytes: Room for what else a step sends to the device: it goes in the same copy.
  ///   - module: Compiles and loads a kernel.
  public init(
    _ context: CUDAContext, host: CPUDevice, shape: AttentionShape,
    variant: AttentionVariant = .causal, queryType: ElementType = .bfloat16,
    storedType: ElementType = .bfloat16, tile: CUDAAttentionKernel.Tile? = nil,
    workers: Int? = nil, bounds: AttentionBounds, tileRows: Int? = nil,
    composition: Composition = .automatic, dataBytes: Int = 0, inputBytes: Int = 0,
    module: @escaping (CUDASource) throws(CUDAFailure) -> CUDAModule
  ) throws(Failure) {
    let most = context.device.multiprocessors
    let workers = workers ?? most
    if workers > most { throw .workers(workers, most: most) }
    (self.context, self.module) = (context, module)
    (self.queryType, self.storedType) = (queryType, storedType)
    if let tile {
      self.tile = tile
    } else {
      self.tile = try CUDAAttentionKernel.Tile.suited(
        rows: (tileRows.map { $0 * shape.groupSize })
          ?? bounds.queryRows * shape.groupSize / max(bounds.requests, 1),
        pageSize: bounds.pageSize, shape: shape, variant: variant, queryType: queryType,
        storedType: storedType, architecture: context.architecture)
    }
    let cost: CostModel
    do throws(CUDAAttentionKernel.Unsupported) {
      cost = CostModel(
        context.device,
        try CUDAAttentionKernel(
          shape: shape, variant: variant, queryType: queryType, storedType: storedType,
          tile: self.tile, architecture: context.architecture))
    } catch { throw .kernel(error) }
    do throws(AttentionPlan.Failure) {
      plan = try AttentionPlan(
        device: host, shape: shape, variant: variant, workers: workers, composition: composition,
        rule: .line, tileRule: .ofRequest, bounds: bounds, cost: cost)
    } catch { throw .plan(error) }
    let states = plan.workspace.stateCapacity
    let outputBytes = states * shape.valueDimension * 4
    let lists = CUDAPlanTables(plan, inputBytes: inputBytes, dataBytes: dataBytes, at: .none)
      .byteCount
    // The counter, on a line of its own, and partial states behind the lists.
    workspaceBytes = lists + 256 + outputBytes + states * 4
    do throws(CUDAFailure) {
      memory = try context.allocate(bytes: workspaceBytes)
      staging = []
      for _ in 0..<2 {
        staging.append(
          Staging(
            buffer: try context.allocatePinned(bytes: lists), isRead: try CUDAEvent(context)))
      }
      let stream = try CUDAStream(context)
      try stream.fill(memory.address.advanced(by: lists), bytes: 256)
      try stream.synchronize()
    } catch { throw .device(error) }
    tables = CUDAPlanTables(
      plan, inputBytes: inputBytes, dataBytes: dataBytes, at: memory.address)
    var fixed = CUDAAttentionArguments()
    fixed.arrivals = memory.address.advanced(by: lists).bits
    fixed.partialOutput = memory.address.advanced(by: lists + 256).bits
    fixed.partialLSE = memory.address.advanced(by: lists + 256 + outputBytes).bits
    self.fixed = fixed
  }

  /// Plans a batch and sends the plan to the device.
  ///
  /// Returns when the copy has been asked for. Runs of the batch before, in the same stream, come
  /// before it.
  ///
  /// - Parameter writeInputs: Writes the step's other inputs, which go along: `inputBytes` bytes.
  public func update(
    _ batch: AttentionBatch, tensors: VariantTensors? = nil, on stream: CUDAStream,
    writeInputs: (UnsafeMutableRawBufferPointer) -> Void = { _ in }
  ) throws(Failure) {
    self.batch = nil
    do throws(AttentionPlan.Failure) {
      try plan.update(batch, tensors: tensors)
    } catch { throw .plan(error) }
    if let missing = plan.parameters.missing { throw .plan(.variant(.unbound(missing))) }
    if case .warpGroups(_, usesTMA: true) = tile,
      batch.pages.pageSize % CUDAAttentionKernel.boxTokens != 0
    {
      throw .pageSize(batch.pages.pageSize)
    }
    try makeKernel()
    turn ^= 1
    let memory = staging[turn].buffer.bytes
    do throws(CUDAFailure) {
      if staging[turn].isUsed { try staging[turn].isRead.synchronize() }
    } catch { throw .device(error) }
    writeInputs(UnsafeMutableRawBufferPointer(rebasing: memory[..<tables.inputBytes]))
    let written: (bytes: Int, arguments: CUDAAttentionArguments)
    do throws(CUDAPlanTables.TooMuchData) {
      written = try tables.write(plan, to: memory)
    } catch { throw .data(bytes: error.bytes, limit: error.limit) }
    do throws(CUDAFailure) {
      try stream.copy(
        UnsafeRawBufferPointer(rebasing: memory[..<written.bytes]), to: self.memory.address)
      try stream.record(staging[turn].isRead)
    } catch { throw .device(error) }
    staging[turn].isUsed = true
    self.batch = written.arguments
  }

  /// Asks for the attention of one layer.
  ///
  /// - Parameters:
  ///   - queries: Tokens × (queryHeads · headDimension).
  ///   - cache: The layer's keys and values, the new tokens' among them.
  ///   - output: Tokens × (queryHeads · valueDimension).
  ///   - lse: Also written where given.
  public func run(
    queries: CUDAMatrix, cache: CUDAPagedKV, output: CUDAMatrix, lse: CUDALogSumExps? = nil,
    on stream: CUDAStream
  ) throws(Failure) {
    guard let batch, let (kernel, _) = kernel else { throw .noBatch }
    let shape = plan.shape
    try check(queries, "queries", shape.queryHeads * shape.headDimension)
    try check(output, "output", shape.queryHeads * shape.valueDimension)
    if lse != nil && !plan.variant.usesSoftmax { throw .plan(.noLogSumExp(plan.variant.name)) }
    var arguments = batch
    arguments.arrivals = fixed.arrivals
    arguments.partialOutput = fixed.partialOutput
    arguments.partialLSE = fixed.partialLSE
    arguments.queries = queries.base.bits
    arguments.queryStride = Int64(queries.stride)
    arguments.output = output.base.bits
    arguments.outputStride = Int64(output.stride)
    arguments.lse = lse?.base.bits ?? 0
    arguments.lseStride = Int64(lse?.stride ?? 0)
    arguments.lseFactor = 1 / (lse?.logOfBase ?? 1)
    arguments.keys = cache.keys.base.bits
    arguments.keyScales = cache.keys.scales.bits
    (arguments.keyPage, arguments.keyHead, arguments.keyToken) = (
      Int64(cache.keys.page), Int64(cache.keys.head), Int64(cache.keys.token)
    )
    arguments.values = cache.values.base.bits
    arguments.valueScales = cache.values.scales.bits
    (arguments.valuePage, arguments.valueHead, arguments.valueToken) = (
      Int64(cache.values.page), Int64(cache.values.head), Int64(cache.values.token)
    )
    do throws(CUDAFailure) {
      try stream.launch(
        kernel,
        CUDALaunch(
          "attention", blocks: plan.workers, isCooperative: true,
          [.bytes(withUnsafeBytes(of: arguments) { Array($0) })] + maps(cache)))
    } catch { throw .device(error) }
  }

  /// The kernel for the tensors that have data, made for the first batch.
  private func makeKernel() throws(Failure) {
    let bound = plan.parameters.bound
    if let kernel {
      if kernel.bound != bound { throw .otherTensors }
      return
    }
    let text: CUDAAttentionKernel
    do throws(CUDAAttentionKernel.Unsupported) {
      text = try plan.cudaKernel(
        queryType: queryType, storedType: storedType, tile: tile,
        architecture: context.architecture)
    } catch { throw .kernel(error) }
    do throws(CUDAFailure) {
      kernel = (try module(text.source).kernel(), bound)
    } catch { throw .device(error) }
  }

  /// How TMA reads the pages; kernels of warp groups that fetch row by row have the parameters too.
  private func maps(_ cache: CUDAPagedKV) throws(CUDAFailure) -> [CUDALaunch.Argument] {
    guard case .warpGroups(_, let usesTMA) = tile else { return [] }
    let none = CUDALaunch.Argument.bytes([UInt8](repeating: 0, count: 128))
    guard usesTMA else { return [none, none] }
    func map(_ pages: CUDAOperators.Pages, _ dimension: Int) throws(CUDAFailure)
      -> CUDALaunch.Argument
    {
      .bytes(
        try context.tensorMap(
          pages.base, storedType,
          sizes: [dimension, plan.pageSize, plan.shape.kvHeads, cache.pageCount],
          strides: [pages.token, pages.head, pages.page]))
    }
    return [
      try map(cache.keys, plan.shape.headDimension),
      try map(cache.values, plan.shape.valueDimension),
    ]
  }

  private func check(_ matrix: CUDAMatrix, _ name: String, _ columns: Int) throws(Failure) {
    guard matrix.columns == columns else {
      throw .columns(name, expected: columns, found: matrix.columns)
    }
  }
}

/// A layer's keys and values in a device's memory.
public struct CUDAPagedKV: Sendable, Hashable {
  /// Keys.
  public var keys: CUDAOperators.Pages
  /// Values; where keys serve as values too, the same.
  public var values: CUDAOperators.Pages
  /// Pages of the pool.
  public var pageCount: Int

  /// Keys and values.
  public init(keys: CUDAOperators.Pages, values: CUDAOperators.Pages, pageCount: Int) {
    (self.keys, self.values, self.pageCount) = (keys, values, pageCount)
  }
}

/// Where log-sum-exps go, floats, tokens × query heads.
public struct CUDALogSumExps: Sendable, Hashable {
  /// The first.
  public var base: CUDAAddress
  /// Elements from one token to the next.
  public var stride: Int
  /// The natural logarithm of their base: 1 for e, ln 2 for 2.
  public var logOfBase: Float

  /// Log-sum-exps.
  public init(_ base: CUDAAddress, stride: Int, logOfBase: Float = 1) {
    (self.base, self.stride, self.logOfBase) = (base, stride, logOfBase)
  }
}
