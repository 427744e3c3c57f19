import Attention
import Devices
import Tensors

/// One run of some tokens through all layers: the hidden vectors, scratch space for a layer's
/// intermediate results, and what the layers share.
///
/// - Invariant: every view addresses `rows` rows inside `memory`, which lives as long as the pass.
final class ForwardPass {
  let device: CPUDevice
  let configuration: ModelConfiguration
  /// The keys and values of every layer.
  let caches: [PagedKVCache]
  /// Whether a row's bits may not depend on the rows beside it.
  let isBatchInvariant: Bool
  /// Whether attention turns queries and keys itself.
  let rotatesInAttention: Bool
  /// The attention plans of sequences that grow at their end, one for each kind of attention.
  private let plans: [AttentionPlan]
  /// The same for branching drafts; made when the first ones come.
  private var treePlans: [AttentionPlan] = []
  /// The rows of branching drafts, the last ones.
  private var treeRows = 0..<0
  /// The rotations of the step's positions, one table for each kind of attention.
  private(set) var rotations: [RotaryTable]
  /// Where each of the step's tokens is stored in the caches.
  private(set) var slots: [Int] = []
  /// The layer that runs.
  var layer = 0

  /// The vectors that flow from layer to layer: [rows × width].
  private(set) var hidden: MatrixView
  /// A branch's normalised input: [rows × width].
  private(set) var normed: MatrixView
  /// A branch's output: [rows × width].
  private(set) var branch: MatrixView
  /// Queries: [rows × (H_q · D)].
  private(set) var queries: MatrixView
  /// Keys: [rows × (H_kv · D)].
  private(set) var keys: MatrixView
  /// Values: [rows × (H_kv · D)].
  private(set) var values: MatrixView
  /// The heads' attention outputs: [rows × (H_q · D)].
  private(set) var attended: MatrixView
  /// The feed-forward layer's gate: [rows × d_ff].
  private(set) var gate: MatrixView
  /// The feed-forward layer's other factor: [rows × d_ff].
  private(set) var up: MatrixView

  /// What only layers need: anybody's between the last layer and the next step.
  let scratch: UnsafeMutableBufferPointer<Float>

  private let memory: AlignedBuffer
  private let capacity: Int

  /// Scratch space for at most as many tokens at a time as the options say.
  init(
    _ configuration: ModelConfiguration, device: CPUDevice, caches: [PagedKVCache],
    options: BatchRunner.Options
  ) throws {
    let rows = max(options.rows, 1)
    let heads = configuration.headCount * configuration.headDimension
    let kvHeads = configuration.kvHeadCount * configuration.headDimension
    let width = configuration.width
    let inner = configuration.feedForwardWidth
    // Every matrix starts on a cache line.
    func size(_ columns: [Int]) -> Int { columns.reduce(0) { $0 + (rows * $1 + 15) / 16 * 16 } }
    let lasting = [width, width, width]
    // A layer is done with attention when its feed-forward network begins: they share memory.
    let attention = [heads, kvHeads, kvHeads, heads]
    let feedForward = [inner, inner]
    let count = size(lasting) + max(size(attention), size(feedForward))
    let byteCount = count * MemoryLayout<Float>.size
    guard let memory = AlignedBuffer(trying: byteCount),
      let base = memory.elements(Float.self).baseAddress
    else { throw ModelError.memory(bytes: byteCount, purpose: "activations") }
    func views(_ columns: [Int], at start: Int) -> [MatrixView] {
      columns.indices.map {
        MatrixView(
          base + start + size(Array(columns[..<$0])), rows: rows, columns: columns[$0])
      }
    }
    let first = views(lasting, at: 0)
    (hidden, normed, branch) = (first[0], first[1], first[2])
    let second = views(attention, at: size(lasting))
    (queries, keys, values, attended) = (second[0], second[1], second[2], second[3])
    let third = views(feedForward, at: size(lasting))
    (gate, up) = (third[0], third[1])
    // From the branch on.
    let start = size([width, width])
    scratch = UnsafeMutableBufferPointer(start: base + start, count: count - start)
    self.memory = memory
    self.configuration = configuration
    self.device = device
    self.caches = caches
    capacity = rows
    isBatchInvariant = options.isBatchInvariant
    rotatesInAttention = options.rotatesInAttention
    plans = try configuration.attentionKinds.map { kind in
      var variant = kind.variant(scale: configuration.attentionScale)
      if options.rotatesInAttention {
        variant = variant.combined(with: try kind.rotation(of: configuration.headDimension))
      }
      return try AttentionPlan(
        device: device, shape: configuration.attentionShape, variant: variant,
        composition: options.composition, isBatchInvariant: options.isBatchInvariant)
    }
    rotations = configuration.attentionKinds.map { RotaryTable($0.rotary) }
  }

  /// Prepares the pass for a step: views, plans, rotations and slots of its tokens.
  func begin(_ step: ModelStep) throws {
    let rows = min(step.rowCount, capacity)
    for view in [
      \ForwardPass.hidden, \.normed, \.branch, \.queries, \.keys, \.values, \.attended, \.gate,
      \.up,
    ] {
      self[keyPath: view].rows = rows
    }
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
  }

  /// A draft sees what is committed and its own path.
  private func makeTreePlans() throws -> [AttentionPlan] {
    try configuration.attentionKinds.map { kind in
      var variant = AttentionVariant.treeMask
      if let window = kind.window {
        variant = variant.combined(with: .slidingWindow(left: window - 1))
      }
      variant.scale = configuration.attentionScale
      return try AttentionPlan(
        device: device, shape: configuration.attentionShape, variant: variant,
        composition: .off, isBatchInvariant: isBatchInvariant)
    }
  }

  /// Turns queries and keys to their positions.
  func rotate() throws {
    if rotatesInAttention { return }
    try device.rotate(queries, heads: configuration.headCount, by: rotations[kind])
    try device.rotate(keys, heads: configuration.kvHeadCount, by: rotations[kind])
  }

  /// Attention of all rows over the keys of the layer that runs.
  func attend() throws {
    let cache = caches[layer]
    if treeRows.lowerBound > 0 {
      let rows = 0..<treeRows.lowerBound
      try plans[kind].run(
        queries: queries.rows(rows), cache: cache, output: attended.rows(rows))
    }
    if !treeRows.isEmpty {
      try treePlans[kind].run(
        queries: queries.rows(treeRows), cache: cache, output: attended.rows(treeRows))
    }
  }

  /// The kind of attention of the layer that runs.
  var kind: Int { configuration.kindOfLayer[layer] }
}
