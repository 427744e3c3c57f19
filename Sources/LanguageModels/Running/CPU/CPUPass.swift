import Attention
import Checkpoints
import Devices
import Tensors
import Tokenizers

/// A pass on the processor: activations in 32-bit floats, keys and values in pages of each layer.
///
/// - Invariant: every view addresses `rows` rows inside `memory`, which lives as long as the pass.
final class CPUPass: ForwardPass {
  let device: CPUDevice
  let configuration: ModelConfiguration
  let weights: CPUWeights
  /// The keys and values of every layer.
  let caches: [PagedKVCache]
  var layer = 0

  /// Whether a row's bits may not depend on the rows beside it.
  let isBatchInvariant: Bool
  /// Whether attention turns queries and keys itself.
  private let rotatesInAttention: Bool
  /// The attention plans of sequences that grow at their end, one for each kind of attention.
  private let plans: [AttentionPlan]
  /// The same for branching drafts; made when the first ones come.
  private var treePlans: [AttentionPlan] = []
  /// The rows of branching drafts, the last ones.
  private var treeRows = 0..<0
  /// The rotations of the step's positions, one table for each kind of attention.
  private var rotations: [RotaryTable]
  private var tokens: [TokenID] = []
  /// Where each of the step's tokens is stored in the caches.
  private var slots: [Int] = []

  /// Every activation's rows, by its number.
  private var views: [MatrixView]
  /// What only layers need: anybody's between the last layer and the next step.
  let scratch: UnsafeMutableBufferPointer<Float>
  /// Logits, where they do not fit into `scratch`.
  var logitMemory = AlignedBuffer(byteCount: 0)
  /// The most rows of a step.
  let capacity: Int
  private let memory: AlignedBuffer

  /// A pass with an empty pool, for at most as many tokens at a time as the options say.
  init(
    _ configuration: ModelConfiguration, _ weights: CPUWeights, device: CPUDevice,
    options: BatchRunner.Options
  ) throws {
    caches = try (0..<configuration.layerCount).map { _ in
      try PagedKVCache(
        pageCount: options.pageCount, pageSize: options.pageSize,
        kvHeads: configuration.kvHeadCount, headDimension: configuration.headDimension,
        elementType: options.kvType)
    }
    let rows = max(options.rows, 1)
    // Every matrix starts on a cache line.
    func size(_ activations: [Activation]) -> Int {
      activations.reduce(0) { $0 + (rows * $1.columns(configuration) + 15) / 16 * 16 }
    }
    let lasting = [Activation.hidden, .normed, .branch]
    // A layer is done with attention when its feed-forward network begins: they share memory.
    let attention = [Activation.queries, .keys, .values, .attended]
    let feedForward = [Activation.gate, .up]
    let count = size(lasting) + max(size(attention), size(feedForward))
    let byteCount = count * MemoryLayout<Float>.size
    guard let memory = AlignedBuffer(trying: byteCount),
      let base = memory.elements(Float.self).baseAddress
    else { throw ModelError.memory(bytes: byteCount, purpose: "activations") }
    views = Activation.allCases.map {
      MatrixView(base, rows: rows, columns: $0.columns(configuration))
    }
    for (group, start) in [(lasting, 0), (attention, size(lasting)), (feedForward, size(lasting))] {
      for (i, activation) in group.enumerated() {
        views[activation.rawValue] = MatrixView(
          base + start + size(Array(group[..<i])), rows: rows,
          columns: activation.columns(configuration))
      }
    }
    let start = size([.hidden, .normed])
    scratch = UnsafeMutableBufferPointer(start: base + start, count: count - start)
    self.memory = memory
    self.configuration = configuration
    self.weights = weights
    self.device = device
    capacity = rows
    isBatchInvariant = options.isBatchInvariant
    rotatesInAttention = options.rotatesInAttention
    plans = try configuration.attentionKinds.map { kind in
      try AttentionPlan(
        device: device, shape: configuration.attentionShape,
        variant: configuration.variant(kind, rotates: options.rotatesInAttention),
        composition: options.composition, isBatchInvariant: options.isBatchInvariant)
    }
    rotations = configuration.attentionKinds.map { RotaryTable($0.rotary) }
  }

  /// An activation's rows.
  subscript(activation: Activation) -> MatrixView { views[activation.rawValue] }

  func run(_ step: ModelStep, _ layers: () throws -> Void) throws {
    try begin(step)
    try layers()
  }

  /// Prepares the pass for a step: views, plans, rotations and slots of its tokens.
  private func begin(_ step: ModelStep) throws {
    let rows = min(step.rowCount, capacity)
    for i in views.indices { views[i].rows = rows }
    treeRows = step.batch.queries.total..<rows
    for plan in plans { try plan.update(step.batch) }
    if let trees = step.trees {
      if treePlans.isEmpty { treePlans = try makeTreePlans() }
      var tensors = VariantTensors()
      tensors[mask: "tree"] = trees.mask.bytes
      for plan in treePlans { try plan.update(trees.batch, tensors: tensors) }
    }
    if !rotatesInAttention {
      let positions = step.positions
      for i in rotations.indices { rotations[i].fill(positions: positions) }
    }
    slots = step.slots
    tokens = step.tokens
  }

  private func makeTreePlans() throws -> [AttentionPlan] {
    try configuration.attentionKinds.map { kind in
      try AttentionPlan(
        device: device, shape: configuration.attentionShape,
        variant: configuration.treeVariant(kind), composition: .off,
        isBatchInvariant: isBatchInvariant)
    }
  }

  /// The kind of attention of the layer that runs.
  private var kind: Int { configuration.kindOfLayer[layer] }

  // MARK: - What layers ask for

  func embed(_ table: Table, scale: Float) throws {
    let (table, x) = (weights.tables[table.index], self[.hidden])
    for (i, token) in tokens.enumerated() {
      let row = UnsafeMutableBufferPointer(start: x.row(i), count: x.columns)
      try table.dequantizeRow(Int(token), into: row)
      if scale != 1 { for j in row.indices { row[j] *= scale } }
    }
  }

  func normalise(_ x: Activation, by norm: Norm, into y: Activation) throws {
    try device.rmsNorm(
      self[x], weight: weights.norms[norm.index], epsilon: configuration.normEpsilon, into: self[y])
  }

  func normaliseHeads(of x: Activation, by norm: Norm) throws {
    try device.rmsNorm(
      self[x], weight: weights.norms[norm.index], epsilon: configuration.normEpsilon,
      heads: x.heads(configuration), into: self[x])
  }

  func addToHidden(_ x: Activation) throws { try device.add(self[x], to: self[.hidden]) }

  func addToHidden(_ x: Activation, normalisedBy norm: Norm, into y: Activation) throws {
    try device.fusedAddRMSNorm(
      self[x], residual: self[.hidden], weight: weights.norms[norm.index],
      epsilon: configuration.normEpsilon, into: self[y])
  }

  func multiply(_ x: Activation, _ layers: [(weights: Linear, y: Activation)]) throws {
    LinearWeights.multiply(
      self[x], layers.map { .init(weights.linears[$0.weights.index], into: self[$0.y]) },
      isRowInvariant: isBatchInvariant)
  }

  func project(_ x: Activation, _ weights: Linear, into y: Activation, accumulate: Bool) throws {
    let linear = self.weights.linears[weights.index]
    guard let parallelism = self.weights.parallelism, parallelism.count > 1 else {
      linear.multiply(
        self[x], into: self[y], accumulate: accumulate, isRowInvariant: isBatchInvariant)
      return
    }
    // What is added to must be counted once.
    let sum = accumulate ? self[.branch] : self[y]
    linear.multiply(self[x], into: sum, isRowInvariant: isBatchInvariant)
    try parallelism.addUp(sum)
    if accumulate { try device.add(sum, to: self[y]) }
  }

  func gate(by function: GateFunction) throws {
    switch function {
    case .silu: try device.siluAndMultiply(self[.gate], self[.up], into: self[.gate])
    case .geluTanh: try device.geluTanhAndMultiply(self[.gate], self[.up], into: self[.gate])
    }
  }

  func rotate() throws {
    if rotatesInAttention { return }
    for x in [Activation.queries, .keys] {
      try device.rotate(self[x], heads: x.heads(configuration), by: rotations[kind])
    }
  }

  func append() throws {
    try caches[layer].append(
      keys: self[.keys], values: self[.values], slots: slots, on: device)
  }

  func attend() throws {
    let (queries, attended) = (self[.queries], self[.attended])
    if treeRows.lowerBound > 0 {
      let rows = 0..<treeRows.lowerBound
      try plans[kind].run(
        queries: queries.rows(rows), cache: caches[layer], output: attended.rows(rows))
    }
    if !treeRows.isEmpty {
      try treePlans[kind].run(
        queries: queries.rows(treeRows), cache: caches[layer], output: attended.rows(treeRows))
    }
  }

  func copyPage(_ source: Int, to target: Int) throws {
    for cache in caches { try cache.copyPage(source, to: target) }
  }
}
