internal import CMicrokernels
internal import Devices
internal import Glibc
internal import Tensors

/// One run as its threads see it: plain numbers and pointers, so that the loop below neither
/// allocates nor counts references.
///
/// - Invariant: Every pointer belongs to the plan, the cache or the caller's matrices, all of which
///   outlive the run; page numbers and shapes have been checked against the cache.
struct Launch {
  let kernels: swa_attention_kernels
  /// The kernels for the cache's element type.
  let stored: swa_kv_kernels
  let geometry: PagedKVCache.Geometry
  let elementBytes: Int
  let keys: UnsafeRawPointer
  let values: UnsafeRawPointer

  let kvHeads: Int
  let group: Int
  let headDimension: Int
  let valueDimension: Int
  let scale: Float
  /// What stored keys and values are to be multiplied by, for each kv head.
  let keyScales: UnsafePointer<Float>
  let valueScales: UnsafePointer<Float>

  let queries: MatrixView
  let output: MatrixView
  let lse: MatrixView?
  /// From natural logarithms to the base asked for.
  let lseFactor: Float

  let tiles: UnsafePointer<QueryTile>
  let items: UnsafePointer<WorkItem>
  let workerOffsets: UnsafePointer<Int32>
  let workers: Int
  let merges: UnsafePointer<MergeItem>
  let mergeCount: Int
  let mergeStates: UnsafePointer<Int32>
  let threads: Int

  let pageIndices: UnsafePointer<Int32>
  /// The positions of the pages' first tokens, for tiles that have them.
  let pagePositions: UnsafePointer<Int32>
  let kvLengths: UnsafePointer<Int32>
  let queryLengths: UnsafePointer<Int32>
  let queryRows: UnsafePointer<Int32>
  let rowRequests: UnsafePointer<Int32>
  let rowPositions: UnsafePointer<Int32>

  let bounds: UnsafePointer<MaskBounds.Bound>
  let boundCount: Int
  /// Logits, and the part of the mask that bounds do not cover.
  let program: BlockProgram.View
  /// Logits alone, for tiles in which every score counts.
  let unmasked: BlockProgram.View
  let sharesRows: Bool
  /// The part of the mask that bounds do not cover.
  let residual: IntervalProgram.View?
  let functors: FunctorViews
  let parameters: ParameterData
  let usesSoftmax: Bool
  let scratches: UnsafePointer<Scratch>
  /// The most query tiles that are worked on together.
  let tilesTogether: Int
  let partialOutput: UnsafeMutablePointer<Float>
  let partialLSE: UnsafeMutablePointer<Float>

  init(
    _ plan: AttentionPlan, queries: MatrixView, cache: PagedKVCache, output: MatrixView,
    lse: LogSumExpOutput?
  ) {
    kernels = plan.device.attentionKernels
    stored = kernels[cache.elementType]
    geometry = cache.geometry
    elementBytes = cache.elementType.blockBytes
    keys = UnsafeRawPointer(cache.keyBase)
    values = UnsafeRawPointer(cache.valueBase)
    kvHeads = plan.shape.kvHeads
    group = plan.shape.groupSize
    headDimension = plan.shape.headDimension
    valueDimension = plan.shape.valueDimension
    scale = plan.variant.scale(for: plan.shape)
    keyScales = UnsafePointer(cache.keyScales.base)
    valueScales = UnsafePointer(cache.valueScales.base)
    self.queries = queries
    self.output = output
    switch lse {
    case .natural(let view): (self.lse, lseFactor) = (view, 1)
    case .base2(let view): (self.lse, lseFactor) = (view, LogSumExp(natural: 1).base2)
    case nil: (self.lse, lseFactor) = (nil, 1)
    }
    tiles = UnsafePointer(plan.schedule.tiles.base)
    items = UnsafePointer(plan.schedule.items.base)
    workerOffsets = UnsafePointer(plan.schedule.workerOffsets.base)
    workers = plan.workers
    merges = UnsafePointer(plan.schedule.merges.base)
    mergeCount = plan.schedule.merges.count
    mergeStates = UnsafePointer(plan.schedule.mergeStates.base)
    threads = plan.schedule.isSmall ? 1 : plan.device.pool.count
    pageIndices = UnsafePointer(plan.pageIndices.base)
    pagePositions = UnsafePointer(plan.pagePositions.base)
    kvLengths = UnsafePointer(plan.kvLengths.base)
    queryLengths = UnsafePointer(plan.queryLengths.base)
    queryRows = UnsafePointer(plan.queryRows.base)
    rowRequests = UnsafePointer(plan.rowRequests.base)
    rowPositions = UnsafePointer(plan.rowPositions.base)
    let code = plan.code
    bounds = UnsafePointer(code.boundList.base)
    boundCount = code.boundList.count
    program = code.program.view
    unmasked = code.unmasked.view
    sharesRows = code.sharesRows
    residual = code.residualRange?.view
    functors = FunctorViews(
      queries: code.queries.views, keys: code.keys.views, values: code.values.views,
      outputs: code.outputs.views, sinks: code.sinks.view, tables: code.tables.views,
      keysDependOnRequest: code.keysDependOnRequest)
    parameters = plan.parameters.data
    usesSoftmax = plan.variant.usesSoftmax
    scratches = UnsafePointer(plan.workspace.scratches.base)
    tilesTogether = plan.workspace.tilesTogether
    partialOutput = plan.workspace.partialOutput
    partialLSE = plan.workspace.partialLSE
  }
}

/// The functors on vectors as a run sees them.
///
/// - Invariant: Pointers into a plan's `VariantCode`.
struct FunctorViews {
  let queries: UnsafeBufferPointer<VectorFunctor.View>
  let keys: UnsafeBufferPointer<VectorFunctor.View>
  let values: UnsafeBufferPointer<VectorFunctor.View>
  let outputs: UnsafeBufferPointer<VectorFunctor.View>
  let sinks: ScalarProgram.View
  let tables: UnsafePointer<PositionTables.View>
  /// Whether what becomes of keys and values depends on whose they are.
  let keysDependOnRequest: Bool

  /// Whether keys or values are made into other panels.
  var areOnPanels: Bool { keys.count > 0 || values.count > 0 }

  /// How keys' elements are turned in pairs, where that is all that becomes of keys and values.
  @inline(__always)
  var turn: VectorFunctor.Turn? { keys.count == 1 && values.count == 0 ? keys[0].turn : nil }

  /// Whether a row needs work after its partial states have been merged.
  var finishesRows: Bool { sinks.outputCount > 0 || outputs.count > 0 }
}

extension Launch {
  /// What a masked score becomes: no weight.
  var maskedWeight: Float { usesSoftmax ? -.infinity : 0 }
}
