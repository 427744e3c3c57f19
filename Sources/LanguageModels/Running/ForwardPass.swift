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
  /// The attention plans, one for each kind of attention.
  let plans: [AttentionPlan]
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

  private let memory: AlignedBuffer
  private let capacity: Int

  /// Scratch space for at most `rows` tokens at a time.
  init(
    _ configuration: ModelConfiguration, device: CPUDevice, caches: [PagedKVCache], rows: Int
  ) throws {
    let heads = configuration.headCount * configuration.headDimension
    let kvHeads = configuration.kvHeadCount * configuration.headDimension
    let columns = [
      configuration.width, configuration.width, configuration.width, heads, kvHeads, kvHeads,
      heads, configuration.feedForwardWidth, configuration.feedForwardWidth,
    ]
    // Every matrix starts on a cache line.
    let sizes = columns.map { (rows * $0 + 15) / 16 * 16 }
    let byteCount = sizes.reduce(0, +) * MemoryLayout<Float>.size
    guard let memory = AlignedBuffer(trying: byteCount),
      let base = memory.elements(Float.self).baseAddress
    else { throw ModelError.memory(bytes: byteCount, purpose: "activations") }
    var next = base
    let views = zip(columns, sizes).map { columns, size in
      defer { next += size }
      return MatrixView(next, rows: rows, columns: columns)
    }
    (hidden, normed, branch) = (views[0], views[1], views[2])
    (queries, keys, values, attended) = (views[3], views[4], views[5], views[6])
    (gate, up) = (views[7], views[8])
    self.memory = memory
    self.configuration = configuration
    self.device = device
    self.caches = caches
    capacity = rows
    let shape = AttentionShape(
      queryHeads: configuration.headCount, kvHeads: configuration.kvHeadCount,
      headDimension: configuration.headDimension)
    plans = try configuration.attentionKinds.map { kind in
      try AttentionPlan(
        device: device, shape: shape,
        variant: kind.variant(scale: configuration.attentionScale))
    }
    rotations = configuration.attentionKinds.map { RotaryTable($0.rotary) }
  }

  /// Prepares the pass for a step: views, plans, rotations and slots of its tokens.
  func begin(_ batch: AttentionBatch) throws {
    let rows = min(batch.queries.total, capacity)
    for view in [
      \ForwardPass.hidden, \.normed, \.branch, \.queries, \.keys, \.values, \.attended, \.gate,
      \.up,
    ] {
      self[keyPath: view].rows = rows
    }
    for plan in plans { try plan.update(batch) }
    let positions = (0..<batch.requestCount).flatMap { r in
      let kvLength = Int(batch.pages.kvLengths[r])
      return kvLength - batch.queries[r].count..<kvLength
    }
    for i in rotations.indices { rotations[i].fill(positions: positions) }
    slots = batch.newTokenSlots
  }

  /// The kind of attention of the layer that runs.
  var kind: Int { configuration.kindOfLayer[layer] }
}
