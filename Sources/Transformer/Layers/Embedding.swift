internal import Devices
internal import Tensors

/// §3.4, §3.5: embeddings scaled by √d_model, plus positions, then dropout.
struct Embedding {
  let embedding: Int
  let positions: Int?

  struct Record {
    var place: UInt32
  }

  func forward(
    _ tokens: [Int32], _ index: RaggedIndex, _ table: SinusoidalPositions, _ step: Step
  ) -> (MatrixView, Record) {
    let d = step.configuration.modelDimension
    let x = step.arena.matrix(tokens.count, d)
    let weights = step.weights.base(embedding)
    let learned = positions.map { UnsafePointer(step.weights.base($0)) }
    table.rows.withUnsafeBufferPointer { sinusoids in
      guard let rows = learned ?? sinusoids.baseAddress else { return }
      for r in 0..<index.count {
        for (position, token) in index[r].enumerated() {
          step.device.combine(
            weights + Int(tokens[token]) * d, Float(d).squareRoot(), rows + position * d, 1,
            into: x.row(token), count: d)
        }
      }
    }
    let place = step.nextPlace()
    step.dropout(x, place: place)
    return (x, Record(place: place))
  }

  /// Adds the gradient of embeddings, and of learned positions; `gradient` is used up.
  func backward(
    _ gradient: MatrixView, _ record: Record, _ tokens: [Int32], _ index: RaggedIndex, _ step: Step
  ) {
    step.dropout(gradient, place: record.place)
    let d = step.configuration.modelDimension
    let scale = Float(d).squareRoot()
    // Columns are shared out, not tokens: two of them may be the same.
    step.device.pool.forEachRange(d, grain: 64) { columns in
      let (first, count) = (columns.lowerBound, columns.count)
      let target = step.gradients.base(embedding) + first
      let learned = positions.map { step.gradients.base($0) + first }
      for r in 0..<index.count {
        for (position, token) in index[r].enumerated() {
          let from = gradient.row(token) + first
          let row = target + Int(tokens[token]) * d
          step.device.combine(from, scale, row, 1, into: row, count: count)
          guard let learned else { continue }
          let place = learned + position * d
          step.device.combine(from, 1, place, 1, into: place, count: count)
        }
      }
    }
  }
}
