import Tensors
import Tokenizers

/// A linear layer's weights and, where the checkpoint has one, its bias: their place among the model's.
struct Linear: Sendable, Hashable {
  let index: Int
}

/// The weights of an RMSNorm: their place among the model's.
struct Norm: Sendable, Hashable {
  let index: Int
}

/// A table of token vectors: its place among the model's.
struct Table: Sendable, Hashable {
  let index: Int
}

/// The rows that flow through a layer, one for each token of a step.
enum Activation: Int, CaseIterable, Sendable {
  /// The vectors that flow from layer to layer: [rows × width].
  case hidden
  /// A branch's normalised input: [rows × width].
  case normed
  /// A branch's output: [rows × width].
  case branch
  /// Queries: [rows × (H_q · D)].
  case queries
  /// Keys: [rows × (H_kv · D)].
  case keys
  /// Values: [rows × (H_kv · D)].
  case values
  /// The heads' attention outputs: [rows × (H_q · D)].
  case attended
  /// The feed-forward layer's gate: [rows × d_ff].
  case gate
  /// The feed-forward layer's other factor: [rows × d_ff].
  case up

  /// The elements of a row.
  func columns(_ configuration: ModelConfiguration) -> Int {
    switch self {
    case .hidden, .normed, .branch: configuration.width
    case .queries, .attended: configuration.headCount * configuration.headDimension
    case .keys, .values: configuration.kvHeadCount * configuration.headDimension
    case .gate, .up: configuration.feedForwardWidth
    }
  }

  /// The heads that a row is made of.
  func heads(_ configuration: ModelConfiguration) -> Int {
    switch self {
    case .queries, .attended: configuration.headCount
    case .keys, .values: configuration.kvHeadCount
    default: 1
    }
  }
}

/// One run of some tokens through all layers, on the device that has the model's weights.
///
/// Layers are written in these words and so run on every device. A pass has room for a runner's rows
/// and the keys and values of its pool.
protocol ForwardPass: AnyObject {
  /// The layer that runs.
  var layer: Int { get set }

  /// Prepares for a step's tokens, then has `layers` run them.
  ///
  /// A device may keep what `layers` asks for and repeat it for a later step of as many rows without
  /// calling it again.
  func run(_ step: ModelStep, _ layers: () throws -> Void) throws

  /// The tokens' vectors, scaled, become the hidden ones.
  func embed(_ table: Table, scale: Float) throws
  /// y = RMSNorm(x); may be in place.
  func normalise(_ x: Activation, by norm: Norm, into y: Activation) throws
  /// RMSNorm of each head of queries or keys, in place.
  func normaliseHeads(of x: Activation, by norm: Norm) throws
  /// hidden += x.
  func addToHidden(_ x: Activation) throws
  /// hidden += x, y = RMSNorm(hidden); y may be x.
  func addToHidden(_ x: Activation, normalisedBy norm: Norm, into y: Activation) throws
  /// y = x·Wᵀ + b for each of some layers.
  func multiply(_ x: Activation, _ layers: [(weights: Linear, y: Activation)]) throws
  /// A branch's last product, whose inputs ranks share: y = Σ x·Wᵀ, or y += Σ x·Wᵀ.
  func project(_ x: Activation, _ weights: Linear, into y: Activation, accumulate: Bool) throws
  /// gate = function(gate) ⊙ up.
  func gate(by function: GateFunction) throws
  /// Turns queries and keys to their positions, unless attention does.
  func rotate() throws
  /// Stores keys and values in the layer's pages.
  func append() throws
  /// Attention of the queries over the layer's pages.
  func attend() throws

  /// The normalised hidden vectors of some rows of the last step: [rows × width], valid until the
  /// next call.
  func hidden(of rows: ArraySlice<Int>, normalisedBy norm: Norm) throws -> MatrixView
  /// Calls `body` with the logits that follow some rows of the last step, a block at a time.
  func logits(
    of rows: [Int], normalisedBy norm: Norm, _ output: Linear,
    _ body: (_ places: Range<Int>, _ logits: MatrixView) throws -> Void
  ) throws
  /// Copies a page of every layer into another.
  func copyPage(_ source: Int, to target: Int) throws

  /// Whether steps draw tokens themselves.
  var drawsTokens: Bool { get }
  /// Behind the layers, draws the step's tokens from the logits that follow their rows.
  func draw(normalisedBy norm: Norm, _ output: Linear) throws
  /// The tokens of the oldest step that has drawn some and was not asked for them; waits for it.
  func drawnTokens() throws -> [TokenID?]
}

// A device whose logits lie where the caller is draws nothing itself.
extension ForwardPass {
  var drawsTokens: Bool { false }
  func draw(normalisedBy norm: Norm, _ output: Linear) throws {}
  func drawnTokens() throws -> [TokenID?] { [] }
}
