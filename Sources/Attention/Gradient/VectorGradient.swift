internal import CMicrokernels
internal import Devices
internal import Tensors

/// Functors on queries, keys, values and outputs outside attention: whole tensors forward, and
/// gradients back through the functors' symbolic derivatives.
///
/// A functor of a key or value reads nothing of a query, so that what becomes of them is a tensor like
/// the given one, and the backward pass of attention is that of attention without functors. Sixteen rows
/// of a head go through block programs at a time, each tensor once, however many tiles read it.
final class VectorGradient {
  private let shape: AttentionShape
  private let stages: [Functor.Kind: [VectorStage]]
  private let tables: PositionTables
  private let threads: VariantMemory
  // Where every row of queries and of keys stands.
  private var queryPlaces: [ScorePlace] = []
  private var keyPlaces: [ScorePlace] = []
  private var memory: [Functor.Kind: AlignedBuffer] = [:]
  private var outputMemory: AlignedBuffer?
  /// The blocks of each thread's walker.
  private let blocks: AlignedBuffer
  private let blockSize: Int

  /// The functors of a variant; `nil` where it has none.
  init?(
    _ variant: AttentionVariant, _ shape: AttentionShape, _ code: VariantCode,
    withParameters: Bool, _ data: ParameterData, on device: CPUDevice
  ) {
    let leaves: [(GradientPrograms.Parameter, Expression)] =
      !withParameters
      ? []
      : variant.parameters.scalars.indices.filter { variant.parameters.scalars[$0] != nil }
        .map { (.scalar($0), .parameter($0)) }
        + variant.parameters.vectors.indices.map { (.perHead($0), .perHead($0)) }
    let functors = variant.functors.filter { $0.kind != .sink }
    if functors.isEmpty { return nil }
    self.shape = shape
    let tables = PositionTables(data)
    self.tables = tables
    stages = Dictionary(grouping: functors, by: \.kind).mapValues { functors in
      functors.map { functor in
        let ofValues = functor.kind == .value || functor.kind == .output
        return VectorStage(
          functor, dimension: ofValues ? shape.valueDimension : shape.headDimension,
          tables: tables, data, leaves: leaves, compiles: code.compiles
        ) { $0.resolving(variant.parameters, bound: code.bound) }
      }
    }
    let all = stages.values.joined().flatMap(\.functors)
    threads = VariantMemory(VariantCode.Needs(all, tables), shape: shape, on: device)
    blockSize = VectorWalker.size(
      stages: stages.values.map(\.count).max() ?? 0,
      dimension: max(shape.headDimension, shape.valueDimension))
    blocks = AlignedBuffer(
      byteCount: blockSize * device.pool.count * MemoryLayout<Float>.stride)
    blocks.elements(Float.self).update(repeating: 0)
  }

  private func columns(_ kind: Functor.Kind) -> (heads: Int, dimension: Int) {
    switch kind {
    case .query, .sink: (shape.queryHeads, shape.headDimension)
    case .output: (shape.queryHeads, shape.valueDimension)
    case .key: (shape.kvHeads, shape.headDimension)
    case .value: (shape.kvHeads, shape.valueDimension)
    }
  }

  private func places(_ kind: Functor.Kind) -> [ScorePlace] {
    kind == .key || kind == .value ? keyPlaces : queryPlaces
  }

  /// Takes memory for a batch, and fills tables for its positions.
  func reserve(queries: RaggedIndex, keys: RaggedIndex, on device: CPUDevice)
    throws(DifferentiableAttention.Failure)
  {
    queryPlaces.removeAll(keepingCapacity: true)
    keyPlaces.removeAll(keepingCapacity: true)
    for r in 0..<queries.count {
      var place = ScorePlace()
      (place.request, place.queryLength, place.kvLength) = (r, queries[r].count, keys[r].count)
      for i in 0..<place.queryLength {
        place.query = place.kvLength - place.queryLength + i
        queryPlaces.append(place)
      }
      place.query = 0
      for position in 0..<place.kvLength {
        place.kv = position
        keyPlaces.append(place)
      }
    }
    for kind in stages.keys { memory[kind] = try buffer(kind, memory[kind]) }
    outputMemory = stages[.output] == nil ? nil : try buffer(.output, outputMemory)
    if tables.isEmpty { return }
    for r in 0..<queries.count where !queries[r].isEmpty && !keys[r].isEmpty {
      let (query, kv) = (queries[r].count, keys[r].count)
      let places = PlaceRange(
        query: kv - query...kv - 1, kv: 0...kv - 1, queryHead: 0...shape.queryHeads - 1,
        kvHead: 0...shape.kvHeads - 1, request: r...r, queryLength: query...query,
        kvLength: kv...kv)
      for stage in stages.values.joined() {
        for functor in stage.functors { functor.note(places, in: tables) }
      }
    }
    tables.fill(on: device)
  }

  /// A buffer for a tensor of a kind, the old one where it is large enough.
  private func buffer(_ kind: Functor.Kind, _ old: AlignedBuffer?)
    throws(DifferentiableAttention.Failure) -> AlignedBuffer
  {
    let (heads, dimension) = columns(kind)
    let bytes = max(places(kind).count * heads * dimension, 1) * MemoryLayout<Float>.stride
    if let old, old.bytes.count >= bytes { return old }
    guard let buffer = AlignedBuffer(trying: bytes) else { throw .memory(bytes: bytes) }
    return buffer
  }

  private func view(_ buffer: AlignedBuffer?, _ kind: Functor.Kind) -> MatrixView? {
    let (heads, dimension) = columns(kind)
    return buffer?.elements(Float.self).baseAddress.map {
      MatrixView($0, rows: places(kind).count, columns: heads * dimension)
    }
  }

  /// Where the output goes that output functors are given; `nil` where there are none.
  var innerOutput: MatrixView? { view(outputMemory, .output) }

  /// A copy of a tensor in this kind's memory.
  func copy(_ x: MatrixView, _ kind: Functor.Kind) -> MatrixView {
    guard let y = view(memory[kind], kind) else { return x }
    for i in 0..<x.rows { y.row(i).update(from: x.row(i), count: x.columns) }
    return y
  }

  /// What the functors of a kind make of a tensor, in memory of their own; `nil` without any.
  func transformed(
    _ x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData, on device: CPUDevice
  ) -> MatrixView? {
    guard stages[kind] != nil else { return nil }
    let y = copy(x, kind)
    transform(y, kind, data, on: device)
    return y
  }

  /// Applies the functors of a kind to a tensor, in place.
  func transform(
    _ x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData, on device: CPUDevice
  ) {
    forEachBlock(of: x, kind, data, on: device) { block, walker in
      let vectors = x.row(block.rows.lowerBound) + block.column
      walker.forward(vectors, stride: x.stride, count: block.rows.count, place: block.place)
      walker.put(vectors, stride: x.stride, count: block.rows.count)
    }
  }

  /// Turns the gradient by what functors made of `x` into the gradient by `x`, in place, and adds the
  /// gradient by parameters, in the order of rows and heads.
  func pullBack(
    _ gradient: MatrixView, from x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData,
    on device: CPUDevice, _ parameters: inout ParameterGradient
  ) {
    guard let stages = stages[kind] else { return }
    let heads = columns(kind).heads
    let all = stages.flatMap(\.byParameters).map(\.parameter)
    let width = all.count
    var sums = [Double](repeating: 0, count: max(x.rows * heads * width, 1))
    sums.withUnsafeMutableBufferPointer { sums in
      // Every vector has sums of its own.
      forEachBlock(of: gradient, kind, data, on: device) { block, walker in
        let (first, count) = (block.rows.lowerBound, block.rows.count)
        walker.forward(
          x.row(first) + block.column, stride: x.stride, count: count, place: block.place)
        walker.backward(
          gradient.row(first) + block.column, stride: gradient.stride, count: count,
          place: block.place
        ) { parameter, row, value in
          sums[((first + row) * heads + block.head) * width + parameter] += value
        }
      }
    }
    if width == 0 { return }
    for number in 0..<x.rows * heads {
      for (i, parameter) in all.enumerated() {
        let sum = sums[number * width + i]
        switch parameter {
        case .scalar(let p): parameters.scalars[p] += sum
        case .perHead(let p): parameters.vectors[p][number % heads] += sum
        }
      }
    }
  }

  /// Some rows' vectors of one head.
  private struct Block {
    let rows: Range<Int>
    let head: Int
    /// The first column.
    let column: Int
    /// Where the vectors of the `i`th row stands.
    let place: (_ i: Int) -> ScorePlace
  }

  /// Calls `body` with sixteen vectors at a time.
  private func forEachBlock(
    of x: MatrixView, _ kind: Functor.Kind, _ data: ParameterData, on device: CPUDevice,
    _ body: (Block, inout VectorWalker) -> Void
  ) {
    guard let stages = stages[kind], let base = blocks.elements(Float.self).baseAddress else {
      return
    }
    let (heads, dimension) = columns(kind)
    let (places, group, tokens) = (places(kind), shape.groupSize, VectorFunctor.tokens)
    let isOfQueries = kind == .query || kind == .output
    let inputs = VectorFunctor.Inputs(
      kernels: device.attentionKernels, parameters: data, tables: tables.views)
    places.withUnsafeBufferPointer { places in
      let blockCount = (places.count + tokens - 1) / tokens
      device.pool.forEachRange(blockCount, grain: 1) { blocks, worker in
        var walker = VectorWalker(
          stages, dimension: dimension, memory: base + worker * blockSize,
          threads.scratches[worker], inputs)
        for number in blocks {
          let rows = number * tokens..<min((number + 1) * tokens, places.count)
          for head in 0..<heads {
            let block = Block(rows: rows, head: head, column: head * dimension) { i in
              var place = places[rows.lowerBound + i]
              place.queryHead = isOfQueries ? head : 0
              place.kvHead = isOfQueries ? head / group : head
              place.dimensionCount = dimension
              return place
            }
            body(block, &walker)
          }
        }
      }
    }
  }
}
