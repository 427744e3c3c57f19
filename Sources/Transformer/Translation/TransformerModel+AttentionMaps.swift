public import Attention
public import Devices
import Glibc
internal import Tensors

extension TransformerModel {
  /// What every target token attends to in the source: the mean over heads of each decoder layer's
  /// cross-attention weights.
  ///
  /// - Parameters:
  ///   - batch: One pair or more; targets as they were said.
  ///   - device: The processor.
  /// - Returns: Layer by layer, target token by target token, a weight for each token of its source.
  public func crossAttention(
    of batch: SentenceBatch, device: CPUDevice
  ) throws(DifferentiableAttention.Failure) -> [[[Float]]] {
    let layout = weights.layout
    // Only the forward pass runs, which writes no gradient.
    let step = try Step(
      weights, weights, configuration, precision: .float32, device: device)
    try step.begin(batch)
    var positions = SinusoidalPositions(dimension: configuration.modelDimension)
    positions.extend(to: max(batch.sourceTokens.count, batch.decoderTokens.count))
    let source = Embedding(embedding: layout.embedding, positions: layout.encoder.positions)
      .forward(batch.sourceTokens, batch.sources, positions, step).0
    let memory = try Encoder(layout.encoder, step).forward(source, step).0
    let target = Embedding(embedding: layout.embedding, positions: layout.decoder.positions)
      .forward(batch.decoderTokens, batch.targets, positions, step).0
    let decoder = Decoder(layout.decoder, memory: (memory, memory), step)
    let (_, record) = try decoder.forward(target, step)
    return record.layers.map { weights(of: $0.1.function, batch) }
  }

  /// The mean over heads of e^(q·k / √d_k − LSE).
  private func weights(
    of record: MultiHeadAttention.Record, _ batch: SentenceBatch
  ) -> [[Float]] {
    let c = configuration
    guard let keys = record.remembered else { return [] }
    let scale = 1 / Float(c.keyDimension).squareRoot()
    var rows: [[Float]] = []
    for r in 0..<batch.count {
      for row in batch.targets[r] {
        rows.append(
          batch.sources[r].map { key in
            var sum: Float = 0
            for head in 0..<c.heads {
              let q = record.projected.row(row) + head * c.keyDimension
              let k = keys.row(key) + head * c.keyDimension
              var score: Float = 0
              for i in 0..<c.keyDimension { score += q[i] * k[i] }
              sum += exp(score * scale - record.lse.row(row)[head])
            }
            return sum / Float(c.heads)
          })
      }
    }
    return rows
  }
}
