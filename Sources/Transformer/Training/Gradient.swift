public import Attention
public import Devices
internal import Tensors

/// The forward and the backward pass: a batch's loss, and the loss's gradient by all weights.
///
/// Passes are written out, layer by layer; nothing records a graph. Batches are ragged: tokens
/// follow each other and nothing is padded. The same batch gives the same bits on any number of
/// threads. Not for use by two threads at once.
public final class Gradient {
  /// The model.
  public let model: TransformerModel
  /// The gradient by the weights, added up over passes until cleared.
  public let values: Parameters
  private let step: Step
  private var positions: SinusoidalPositions

  /// Rows of logits that exist at a time.
  private static let logitRows = 768

  /// What a pass found.
  public struct Loss: Sendable, Hashable {
    /// Target tokens.
    public var tokens = 0
    /// Σ cross-entropy with label smoothing.
    public var smoothed = 0.0
    /// Σ −log p(right token).
    public var negativeLogLikelihood = 0.0

    /// Nothing yet.
    public init() {}

    /// The mean loss.
    public var mean: Double { smoothed / Double(max(tokens, 1)) }
    /// The mean −log p(right token).
    public var meanNegativeLogLikelihood: Double {
      negativeLogLikelihood / Double(max(tokens, 1))
    }

    /// The losses of both.
    public static func += (a: inout Loss, b: Loss) {
      a.tokens += b.tokens
      a.smoothed += b.smoothed
      a.negativeLogLikelihood += b.negativeLogLikelihood
    }
  }

  /// Passes over a model's weights.
  public init(
    _ model: TransformerModel, precision: ProductPrecision = .float32, device: CPUDevice
  ) throws(DifferentiableAttention.Failure) {
    self.model = model
    values = Parameters(model.weights.layout)
    step = try Step(
      model.weights, values, model.configuration, precision: precision, device: device)
    positions = SinusoidalPositions(dimension: model.configuration.modelDimension)
  }

  /// Where the random numbers of dropout come from.
  public struct Dropout: Sendable, Hashable {
    /// The stream.
    public var random: CounterRandom
    /// The number of the pass, another one for every batch.
    public var pass: UInt32

    /// The numbers of a pass.
    public init(random: CounterRandom, pass: UInt32) {
      self.random = random
      self.pass = pass
    }
  }

  /// The loss of a batch, without gradient and dropout.
  public func loss(of batch: SentenceBatch) throws(DifferentiableAttention.Failure) -> Loss {
    try run(batch, scale: nil, dropout: nil, logits: nil)
  }

  /// The loss of a batch; `scale` times its gradient is added to `values`.
  ///
  /// - Parameters:
  ///   - batch: Pairs of sentences.
  ///   - scale: What the sum of the tokens' losses is multiplied by: 1 / tokens for the mean.
  ///   - dropout: Random numbers; `nil` leaves dropout out.
  public func accumulate(
    _ batch: SentenceBatch, scale: Float, dropout: Dropout?
  ) throws(DifferentiableAttention.Failure) -> Loss {
    try run(batch, scale: scale, dropout: dropout, logits: nil)
  }

  /// The logits of a batch: `batch.labels.count` rows of a vocabulary each.
  public func logits(
    of batch: SentenceBatch
  ) throws(DifferentiableAttention.Failure) -> [Float] {
    var logits: [Float] = []
    logits.reserveCapacity(batch.labels.count * model.configuration.vocabularySize)
    _ = try run(batch, scale: nil, dropout: nil) { view in
      for row in 0..<view.rows {
        logits += UnsafeBufferPointer(start: view.row(row), count: view.columns)
      }
    }
    return logits
  }

  private func run(
    _ batch: SentenceBatch, scale: Float?, dropout: Dropout?,
    logits: ((MatrixView) -> Void)?
  ) throws(DifferentiableAttention.Failure) -> Loss {
    let layout = model.weights.layout
    step.dropoutRate = dropout == nil ? 0 : model.configuration.dropout
    if let dropout { (step.random, step.pass) = (dropout.random, dropout.pass) }
    try step.begin(batch)
    let longest = (0..<batch.count).map { max(batch.sources[$0].count, batch.targets[$0].count) }
    positions.extend(to: longest.max() ?? 0)

    // Forward.
    let sourceEmbedding = Embedding(
      embedding: layout.embedding, positions: layout.encoder.positions)
    let targetEmbedding = Embedding(
      embedding: layout.embedding, positions: layout.decoder.positions)
    let (source, sourceRecord) = sourceEmbedding.forward(
      batch.sourceTokens, batch.sources, positions, step)
    let encoder = Encoder(layout.encoder, step)
    let (memory, encoderRecord) = try encoder.forward(source, step)
    let (target, targetRecord) = targetEmbedding.forward(
      batch.decoderTokens, batch.targets, positions, step)
    let memoryGradient = step.arena.matrix(memory.rows, memory.columns)
    let decoder = Decoder(layout.decoder, memory: (memory, memoryGradient), step)
    let (output, decoderRecord) = try decoder.forward(target, step)
    let gradient = step.arena.matrix(output.rows, output.columns)
    let loss = loss(output, gradient, batch.labels, scale: scale, logits: logits)
    guard scale != nil else { return loss }

    // Backward.
    memoryGradient.base.update(repeating: 0, count: memoryGradient.rows * memoryGradient.columns)
    try decoder.backward(gradient, decoderRecord, step)
    targetEmbedding.backward(gradient, targetRecord, batch.decoderTokens, batch.targets, step)
    try encoder.backward(memoryGradient, encoderRecord, step)
    sourceEmbedding.backward(memoryGradient, sourceRecord, batch.sourceTokens, batch.sources, step)
    return loss
  }

  /// Logits, loss and the gradient by the decoder's output, some rows at a time.
  private func loss(
    _ output: MatrixView, _ gradient: MatrixView, _ labels: [Int32], scale: Float?,
    logits see: ((MatrixView) -> Void)?
  ) -> Loss {
    let c = model.configuration
    let offset = model.weights.layout.embedding
    let embedding = model.weights.matrix(offset, c.vocabularySize, c.modelDimension)
    let embeddingGradient = values.matrix(offset, c.vocabularySize, c.modelDimension)
    var loss = Loss()
    for first in stride(from: 0, to: output.rows, by: Self.logitRows) {
      let rows = first..<min(first + Self.logitRows, output.rows)
      let mark = step.arena.mark
      defer { step.arena.release(to: mark) }
      let logits = step.arena.matrix(rows.count, c.vocabularySize)
      let losses = step.arena.matrix(rows.count, 2)
      step.device.multiply(
        output.rows(rows), embedding.transposed, into: logits, precision: step.precision)
      see?(logits)
      step.device.crossEntropy(
        logits, targets: labels[rows], smoothing: c.labelSmoothing, scale: scale ?? 1,
        losses: losses)
      for row in 0..<rows.count {
        loss.smoothed += Double(losses.row(row)[0])
        loss.negativeLogLikelihood += Double(losses.row(row)[1])
      }
      loss.tokens += rows.count
      guard scale != nil else { continue }
      step.device.multiply(
        logits, ProductFactor(embedding), into: gradient.rows(rows), precision: step.precision)
      step.device.multiply(
        logits.transposed, ProductFactor(output.rows(rows)), into: embeddingGradient,
        accumulate: true, precision: step.precision)
    }
    return loss
  }
}
