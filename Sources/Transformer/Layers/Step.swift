internal import Attention
internal import Devices
internal import Tensors

/// What every layer of one forward and backward pass works with.
final class Step {
  let configuration: TransformerConfiguration
  let device: CPUDevice
  let weights: Parameters
  let gradients: Parameters
  let precision: ProductPrecision
  let arena = Arena()

  /// Attention within source sentences, within target sentences, and from targets to sources.
  let encoderAttention: DifferentiableAttention
  let decoderAttention: DifferentiableAttention
  let crossAttention: DifferentiableAttention

  /// Queues of attention's work: the same on every machine, since the cuts decide the bits.
  private static let attentionWorkers = 32

  /// P_drop of this pass: 0 outside training.
  var dropoutRate: Float = 0
  var random = CounterRandom(seed: 0)
  /// The number of this pass, which tells its random numbers from another's.
  var pass: UInt32 = 0
  private var places: UInt32 = 0

  init(
    _ weights: Parameters, _ gradients: Parameters, _ configuration: TransformerConfiguration,
    precision: ProductPrecision, device: CPUDevice
  ) throws(DifferentiableAttention.Failure) {
    self.configuration = configuration
    self.device = device
    self.weights = weights
    self.gradients = gradients
    self.precision = precision
    let shape = AttentionShape(
      queryHeads: configuration.heads, kvHeads: configuration.heads,
      headDimension: configuration.keyDimension, valueDimension: configuration.valueDimension)
    func attention(
      _ variant: AttentionVariant
    ) throws(DifferentiableAttention.Failure) -> DifferentiableAttention {
      try DifferentiableAttention(
        device: device, shape: shape, variant: variant, differentiatesParameters: false,
        workers: Self.attentionWorkers)
    }
    encoderAttention = try attention(.full)
    decoderAttention = try attention(.causal)
    crossAttention = try attention(.full)
  }

  /// Prepares a pass over a batch.
  func begin(_ batch: SentenceBatch) throws(DifferentiableAttention.Failure) {
    arena.reset()
    places = 0
    try encoderAttention.update(queries: batch.sources, keys: batch.sources)
    try decoderAttention.update(queries: batch.targets, keys: batch.targets)
    try crossAttention.update(queries: batch.targets, keys: batch.sources)
  }

  /// A number for the next place of the model that drops elements.
  func nextPlace() -> UInt32 {
    defer { places += 1 }
    return places
  }

  /// Residual dropout (§5.4) at a place; the same call is its backward pass.
  func dropout(_ x: MatrixView, place: UInt32) {
    device.dropout(x, rate: dropoutRate, random: random, draw: pass &* 256 &+ place)
  }

  /// y = x·Wᵀ + b.
  func linear(
    _ x: MatrixView, _ weight: MatrixView, bias: Int, into y: MatrixView, rectify: Bool = false
  ) {
    device.multiply(
      x, weight.transposed, into: y, bias: weights.base(bias), rectify: rectify,
      precision: precision)
  }

  /// The backward pass of `linear`: dx (+)= dy·W, dW += dyᵀ·x, db += Σ dy.
  func linearGradient(
    _ dy: MatrixView, of x: MatrixView, weight: Int, bias: Int, outputs: Range<Int>,
    inputs: Int, into dx: MatrixView?, accumulate: Bool = false
  ) {
    if let dx {
      let w = weights.matrix(weight, outputs.count, inputs, from: outputs.lowerBound)
      device.multiply(
        dy, ProductFactor(w), into: dx, accumulate: accumulate, precision: precision)
    }
    let dw = gradients.matrix(weight, outputs.count, inputs, from: outputs.lowerBound)
    device.multiply(
      dy.transposed, ProductFactor(x), into: dw, accumulate: true, precision: precision)
    device.addColumnSums(of: dy, to: gradients.base(bias + outputs.lowerBound))
  }

  /// x += y.
  func add(_ y: MatrixView, to x: MatrixView) {
    // Shapes are the model's own.
    try? device.add(y, to: x)
  }
}
