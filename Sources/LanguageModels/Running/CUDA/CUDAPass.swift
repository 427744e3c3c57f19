import Attention
import Devices
import Tensors
import Tokenizers

/// A pass on a GPU: the residual stream in 32-bit floats, other activations in the weights' type.
///
/// A step is planned on the processor, sent in one copy for each kind of attention, and computed while
/// the next one may be planned. Steps in which every sequence has one row are captured as graphs, one for
/// each power of two of rows, with the draws of tokens and without: the first such step runs as it is
/// asked for, which loads what it needs, the second is captured, and all later ones replay it.
final class CUDAPass: ForwardPass {
  let configuration: ModelConfiguration
  let weights: CUDAWeights
  let device: CUDADevice
  var layer = 0

  /// The most rows of a step.
  let capacity: Int
  /// The rows that layers compute, those of the step and some that belong to nobody.
  private(set) var rows = 0
  /// Launches of whole steps.
  private var graphs: [Launches: CUDAGraph] = [:]
  /// What a step has been run of.
  private var warm: Set<Launches> = []

  /// What the launches of a step depend on.
  private struct Launches: Hashable {
    let rows: Int
    let draws: Bool
  }

  private let options: BatchRunner.Options
  private let host: CPUDevice
  private let pool: CUDAPool
  private let memory: CUDABuffer
  private let addresses: [CUDAAddress]
  private let turns: [CUDABuffer]
  private let kernels: Kernels
  /// What results go through, made when it is first needed.
  var output: CUDAOutput?
  /// The last normalised vectors that were asked for.
  var vectors: AlignedBuffer?
  /// What tokens are drawn in; nil where none are, as on all ranks but the first.
  let draws: CUDADraws?
  /// Those of the last step.
  private(set) var places = DrawPlaces()

  /// Attention where every sequence has one row, and where some have many.
  private let decode: CUDAStepAttention
  private let prefill: CUDAStepAttention
  /// Attention of branching drafts, made when the first ones come.
  private var drafts: CUDAStepAttention?
  /// That of the step: one of the first two.
  private var attention: CUDAStepAttention
  /// The rows of sequences that grow at their end, and those of branching drafts behind them.
  private var plainRows = 0
  private var draftRows = 0

  /// The operators of a pass.
  struct Kernels {
    /// From the residual stream, and from and to activations.
    let hiddenNorm, norm: CUDAOperatorKernels
    let sums, rotary, activation, pages: CUDAOperatorKernels
  }

  /// The most sequences of a captured step.
  private static let mostCaptured = 256

  /// A pass with an empty pool.
  ///
  /// - Parameter host: The processor that plans.
  init(
    _ configuration: ModelConfiguration, _ weights: CUDAWeights, host: CPUDevice,
    options: BatchRunner.Options
  ) throws {
    let (device, type) = (weights.device, weights.type)
    capacity = max(options.rows, 1)
    // Rows up to the next power of two, and room for it.
    let rows = Self.padded(capacity)
    kernels = Kernels(
      hiddenNorm: try device.operators(.norm, type: type, storedType: .float32),
      norm: try device.operators(.norm, type: type),
      sums: try device.operators(.sums, type: type, storedType: .float32),
      rotary: try device.operators(.rotary, type: type),
      activation: try device.operators(.activation, type: type),
      pages: try device.operators(.pages, type: type, storedType: options.kvType))
    var offsets: [Int] = []
    var bytes = 0
    for activation in Activation.allCases {
      offsets.append(bytes)
      let element = activation == .hidden ? ElementType.float32 : type
      bytes += (rows * activation.columns(configuration) * element.blockBytes + 255) / 256 * 256
    }
    let memory = try device.context.allocate(bytes: bytes)
    // Rows that belong to nobody hold numbers, if any. Waited for, since what follows may fail.
    try device.stream.fill(memory.address, bytes: bytes)
    try device.stream.synchronize()
    addresses = offsets.map { memory.address.advanced(by: $0) }
    turns = try configuration.attentionKinds.map { (kind) throws(CUDAFailure) in
      try device.buffer(of: kind.rotary.turns)
    }
    pool = try CUDAPool(configuration, options, on: device)

    let sequences = max(min(options.sequences ?? capacity, capacity), 1)
    let context = options.context ?? configuration.contextLength
    let pages = (context + options.pageSize - 1) / options.pageSize
    func attention(sequences: Int, rows: Int, draws: Int, tileRows: Int) throws
      -> CUDAStepAttention
    {
      try CUDAStepAttention(
        configuration.attentionKinds.map {
          try configuration.variant($0, rotates: options.rotatesInAttention)
        }, configuration, type: type, options: options,
        bounds: Self.bounds(options, sequences: sequences, rows: rows, pages: pages),
        draws: draws, tileRows: tileRows, on: device, host: host)
    }
    let captured = min(sequences, Self.mostCaptured)
    let most = Self.padded(captured)
    let drawn = device.group?.rank ?? 0 == 0 ? options.draws : 0
    decode = try attention(
      sequences: captured, rows: most, draws: drawn > 0 ? most : 0, tileRows: 1)
    prefill = try attention(
      sequences: sequences, rows: rows, draws: drawn, tileRows: capacity)
    draws =
      drawn > 0
      ? try CUDADraws(rows: most, count: max(most, drawn), configuration, on: device) : nil
    self.attention = prefill
    (self.configuration, self.weights, self.device) = (configuration, weights, device)
    (self.options, self.host, self.memory) = (options, host, memory)
  }

  /// Work that is under way uses memory that goes with the pass.
  deinit { try? device.stream.synchronize() }

  private static func bounds(
    _ options: BatchRunner.Options, sequences: Int, rows: Int, pages: Int
  ) -> AttentionBounds {
    AttentionBounds(
      requests: sequences, queryRows: rows, pages: sequences * pages, pageSize: options.pageSize,
      sharedRows: options.composition == .off ? 0 : nil)
  }

  /// The next power of two.
  private static func padded(_ rows: Int) -> Int {
    rows < 2 ? 1 : 1 << (Int.bitWidth - (rows - 1).leadingZeroBitCount)
  }

  /// An activation's rows.
  func matrix(_ activation: Activation) -> CUDAMatrix {
    CUDAMatrix(
      addresses[activation.rawValue], rows: rows, columns: activation.columns(configuration))
  }

  func run(_ step: ModelStep, _ layers: () throws -> Void) throws {
    let count = step.rowCount
    let queries = step.batch.queries
    let isDecode =
      step.trees == nil && count <= decode.rows && count == step.batch.requestCount
      && (0..<count).allSatisfy { queries[$0].count == 1 }
      && zip(step.draws, step.draws.dropFirst()).allSatisfy { $0.row < $1.row }
    if let draws, !step.draws.isEmpty, !draws.hasRoom {
      throw ModelError.draws("two steps' tokens wait to be asked for")
    }
    rows = Self.padded(count)
    (plainRows, draftRows) = (queries.total, count - queries.total)
    attention = isDecode ? decode : prefill
    let last = places
    places = DrawPlaces(step, rows: isDecode ? rows : nil)
    try attention.update(step, rows: rows, drawing: places, after: last, on: device.stream)
    if let trees = step.trees { try updateDrafts(trees) }
    let launches = Launches(rows: rows, draws: places.count > 0)
    if isDecode, !warm.insert(launches).inserted {
      let graph = try graphs[launches] ?? capture(layers)
      graphs[launches] = graph
      try device.stream.launch(graph)
    } else {
      try layers()
    }
    try draws?.send(places)
  }

  private func capture(_ layers: () throws -> Void) throws -> CUDAGraph {
    var failure: (any Error)?
    let graph = try device.stream.capture { () throws(CUDAFailure) in
      do { try layers() } catch { failure = error }
    }
    if let failure { throw failure }
    return graph
  }

  private func updateDrafts(_ trees: SpeculationBatch) throws {
    let drafts = try self.drafts ?? makeDrafts()
    self.drafts = drafts
    try drafts.update(trees, on: device.stream)
  }

  private func makeDrafts() throws -> CUDAStepAttention {
    let context = options.context ?? configuration.contextLength
    let pages = (context + options.pageSize - 1) / options.pageSize
    var options = options
    options.composition = .off
    let bounds = Self.bounds(options, sequences: capacity, rows: capacity, pages: pages)
    return try CUDAStepAttention(
      configuration.attentionKinds.map(configuration.treeVariant), configuration,
      type: weights.type, options: options, bounds: bounds, draws: 0, tileRows: 8,
      // A bit for each row and key, whole bytes for each sequence, their offsets, and alignment.
      dataBytes: capacity * (context / 8 + 16) + 4096, on: device, host: host)
  }

  // MARK: - What layers ask for

  func embed(_ table: Table, scale: Float) throws {
    let table = weights.tables[table.index]
    let (tokens, hidden) = (attention.address(of: .tokens), matrix(.hidden))
    try table.kernels.launch(on: device.stream) {
      $0.gather(
        table.memory.address, tableRows: table.rows, ids: tokens,
        others: draws?.lastTokens ?? .none, factor: scale, into: hidden)
    }
  }

  func normalise(_ x: Activation, by norm: Norm, into y: Activation) throws {
    try launch(x == .hidden ? kernels.hiddenNorm : kernels.norm) {
      $0.rmsNorm(
        matrix(x), weight: weight(norm), epsilon: configuration.normEpsilon, into: matrix(y))
    }
  }

  func normaliseHeads(of x: Activation, by norm: Norm) throws {
    try launch(kernels.norm) {
      $0.rmsNorm(
        matrix(x), weight: weight(norm), epsilon: configuration.normEpsilon,
        heads: x.heads(configuration), into: matrix(x))
    }
  }

  func addToHidden(_ x: Activation) throws {
    try launch(kernels.sums) { $0.add(matrix(x), to: matrix(.hidden)) }
  }

  func addToHidden(_ x: Activation, normalisedBy norm: Norm, into y: Activation) throws {
    try launch(kernels.hiddenNorm) {
      $0.fusedAddRMSNorm(
        matrix(x), residual: matrix(.hidden), weight: weight(norm),
        epsilon: configuration.normEpsilon, into: matrix(y))
    }
  }

  func multiply(_ x: Activation, _ layers: [(weights: Linear, y: Activation)]) throws {
    for (linear, y) in layers { try multiply(x, linear, into: y) }
  }

  private func multiply(_ x: Activation, _ linear: Linear, into y: Activation) throws {
    let layer = weights.linears[linear.index]
    try layer.weights.multiply(matrix(x), into: matrix(y))
    if let bias = layer.bias {
      try launch(kernels.sums) { $0.add(bias: bias.address, to: matrix(y)) }
    }
  }

  func project(_ x: Activation, _ linear: Linear, into y: Activation, accumulate: Bool) throws {
    let layer = weights.linears[linear.index]
    if accumulate, device.group == nil, layer.bias == nil {
      // The residual stream takes the product's sums as they are.
      return try layer.weights.multiply(
        matrix(x), into: matrix(y), outputType: .float32, accumulate: true)
    }
    try multiply(x, linear, into: .branch)
    if let group = device.group {
      let branch = matrix(.branch)
      try group.addUp(
        branch.base, count: rows * branch.columns, type: weights.type, on: device.stream)
    }
    if accumulate { try addToHidden(.branch) }
  }

  func gate(by function: GateFunction) throws {
    let (gate, up) = (matrix(.gate), matrix(.up))
    try launch(kernels.activation) {
      switch function {
      case .silu: $0.siluAndMultiply(gate, up, into: gate)
      case .geluTanh: $0.geluTanhAndMultiply(gate, up, into: gate)
      }
    }
  }

  func rotate() throws {
    if options.rotatesInAttention { return }
    for x in [Activation.queries, .keys] {
      try launch(kernels.rotary) {
        $0.rotate(
          matrix(x), heads: x.heads(configuration), configuration.attentionKinds[kind].rotary,
          turns: turns[kind].address, positions: attention.address(of: .positions))
      }
    }
  }

  func append() throws {
    let pages = pool.layers[layer]
    try launch(kernels.pages) {
      $0.append(
        matrix(.keys), to: pages.keys, matrix(.values), to: pages.values,
        slots: attention.address(of: .slots), pageSize: options.pageSize,
        heads: configuration.kvHeadCount)
    }
  }

  func attend() throws {
    let cache = pool.layers[layer]
    func run(_ attention: CUDAAttention, from row: Int, _ count: Int) throws {
      func part(_ activation: Activation) -> CUDAMatrix {
        var part = matrix(activation)
        part.base = part.base.advanced(by: row * part.stride * weights.type.blockBytes)
        part.rows = count
        return part
      }
      try attention.run(
        queries: part(.queries), cache: cache, output: part(.attended), on: device.stream)
    }
    if plainRows > 0 { try run(attention.kinds[kind], from: 0, plainRows) }
    if draftRows > 0, let drafts { try run(drafts.kinds[kind], from: plainRows, draftRows) }
  }

  func copyPage(_ source: Int, to target: Int) throws {
    try pool.copyPage(source, to: target, on: device.stream)
  }

  var drawsTokens: Bool { draws != nil }

  func draw(normalisedBy norm: Norm, _ output: Linear) throws {
    guard let draws, places.count > 0 else { return }
    try draws.draw(places, attention.inputs, at: attention.base, from: matrix(.hidden)) {
      vectors, logits in
      var normed = matrix(.normed)
      normed.rows = vectors.rows
      try launch(kernels.hiddenNorm) {
        $0.rmsNorm(
          vectors, weight: weight(norm), epsilon: configuration.normEpsilon, into: normed)
      }
      try weights.linears[output.index].weights.multiply(
        normed, into: logits, outputType: .float32)
    }
  }

  func drawnTokens() throws -> [TokenID?] { try draws?.receive() ?? [] }

  // MARK: - Places

  /// The kind of attention of the layer that runs.
  private var kind: Int { configuration.kindOfLayer[layer] }

  func weight(_ norm: Norm) -> CUDAAddress { weights.norms[norm.index].address }

  private func launch(_ kernels: CUDAOperatorKernels, _ make: (CUDAOperators) -> CUDALaunch) throws
  {
    try kernels.launch(on: device.stream, make)
  }

  /// The residual stream's norm.
  var hiddenNorm: CUDAOperatorKernels { kernels.hiddenNorm }
}
