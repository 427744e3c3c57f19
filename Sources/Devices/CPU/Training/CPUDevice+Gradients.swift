internal import CMicrokernels
public import Tensors

// Rows' operators of training. Sums over rows go down strips of columns, each by one worker, so that
// their order does not depend on threads.
extension CPUDevice {
  /// Columns of a strip: four cache lines.
  private static let stripColumns = 64

  private func forEachStrip(_ columns: Int, _ body: (Range<Int>) -> Void) {
    let strips = (columns + Self.stripColumns - 1) / Self.stripColumns
    pool.forEachRange(strips, grain: 1) { range in
      body(
        range.lowerBound * Self.stripColumns..<min(range.upperBound * Self.stripColumns, columns))
    }
  }

  /// y = wa·a + wb·b, on the calling thread; y may be `b`.
  package func combine(
    _ a: UnsafePointer<Float>, _ wa: Float, _ b: UnsafePointer<Float>, _ wb: Float,
    into y: UnsafeMutablePointer<Float>, count: Int
  ) {
    linearKernels.operators.combine(a, wa, b, wb, y, count)
  }

  /// sums[j] += Σᵢ x[i][j]: the gradient of a bias.
  ///
  /// - Precondition: `sums` has `x.columns` elements.
  public func addColumnSums(of x: MatrixView, to sums: UnsafeMutablePointer<Float>) {
    guard let add = linearKernels.operators.add else { return }
    forEachStrip(x.columns) { strip in
      for row in 0..<x.rows {
        add(x.row(row) + strip.lowerBound, sums + strip.lowerBound, strip.count)
      }
    }
  }

  /// sum = x + delta; y = layer norm of the sum (arXiv 1607.06450), keeping what its gradient needs.
  ///
  /// - Parameters:
  ///   - x: Tokens × width.
  ///   - delta: What is added to `x`, of its shape, or `nil`.
  ///   - sum: Receives x + delta; may be `delta`. Not written without `delta`.
  ///   - weight: `width` factors.
  ///   - bias: `width` terms.
  ///   - epsilon: ε.
  ///   - y: The result.
  ///   - statistics: Tokens × 2: mean and inverse deviation.
  /// - Precondition: Shapes fit.
  public func layerNorm(
    _ x: MatrixView, adding delta: MatrixView?, sum: MatrixView, weight: UnsafePointer<Float>,
    bias: UnsafePointer<Float>, epsilon: Float, into y: MatrixView, statistics: MatrixView
  ) {
    let kernel = linearKernels.training.add_layer_norm
    pool.forEachRange(x.rows, grain: rowGrain(x.columns)) { rows in
      for row in rows {
        kernel?(
          delta?.row(row), x.row(row), sum.row(row), weight, bias, epsilon, y.row(row),
          statistics.row(row), x.columns)
      }
    }
  }

  /// The gradient through a layer norm.
  ///
  /// - Parameters:
  ///   - gradient: The loss's gradient by the result; becomes the one by the input.
  ///   - x: What was normalised.
  ///   - statistics: As `layerNorm` left them.
  ///   - weight: `width` factors.
  ///   - weightGradient: Added to.
  ///   - biasGradient: Added to.
  /// - Precondition: Shapes fit.
  public func layerNormGradient(
    _ gradient: MatrixView, of x: MatrixView, statistics: MatrixView,
    weight: UnsafePointer<Float>, weightGradient: UnsafeMutablePointer<Float>,
    biasGradient: UnsafeMutablePointer<Float>
  ) {
    let kernels = linearKernels.training
    forEachStrip(x.columns) { strip in
      let first = strip.lowerBound
      for row in 0..<x.rows {
        kernels.layer_norm_parameters(
          gradient.row(row) + first, x.row(row) + first, statistics.row(row),
          weightGradient + first, biasGradient + first, strip.count)
      }
    }
    pool.forEachRange(x.rows, grain: rowGrain(x.columns)) { rows in
      for row in rows {
        kernels.layer_norm_gradient(
          gradient.row(row), x.row(row), statistics.row(row), weight, gradient.row(row), x.columns)
      }
    }
  }

  /// The gradient through ReLU: `gradient` becomes 0 where the result `y` is not positive.
  public func rectifierGradient(_ gradient: MatrixView, of y: MatrixView) {
    let kernel = linearKernels.training.rectifier_gradient
    pool.forEachRange(y.rows, grain: rowGrain(y.columns)) { rows in
      for row in rows { kernel?(y.row(row), gradient.row(row), y.columns) }
    }
  }

  /// Drops elements with probability `rate` and scales the others by 1 / (1 − rate).
  ///
  /// Which ones follows from `draw` and an element's place alone: the same call on a gradient is the
  /// backward pass, and no mask is kept.
  ///
  /// - Parameters:
  ///   - x: Changed in place.
  ///   - rate: In 0 ..< 1.
  ///   - random: The stream.
  ///   - draw: Tells the places of a model and the steps of a training apart.
  public func dropout(_ x: MatrixView, rate: Float, random: CounterRandom, draw: UInt32) {
    guard rate > 0 else { return }
    let kernel = linearKernels.training.dropout
    let threshold = UInt32(min(Double(rate) * 0x1p32, Double(UInt32.max)))
    pool.forEachRange(x.rows, grain: rowGrain(x.columns * 4)) { rows in
      for row in rows {
        kernel?(
          x.row(row), x.columns, random.seed, UInt32(truncatingIfNeeded: row), draw, threshold,
          1 / (1 - rate))
      }
    }
  }

  /// Cross-entropy with label smoothing (arXiv 1512.00567, §7), and its gradient.
  ///
  /// - Parameters:
  ///   - logits: Tokens × vocabulary; becomes the gradient by them times `scale`.
  ///   - targets: The right token of every row.
  ///   - smoothing: ε_ls: the target distribution is (1 − ε)·[right] + ε / vocabulary.
  ///   - scale: What the gradient is multiplied by, 1 / tokens as a rule.
  ///   - losses: Tokens × 2: the loss, and −log p(right).
  /// - Precondition: Shapes fit and targets are in the vocabulary.
  public func crossEntropy(
    _ logits: MatrixView, targets: ArraySlice<Int32>, smoothing: Float, scale: Float,
    losses: MatrixView
  ) {
    let kernel = linearKernels.training.cross_entropy
    pool.forEachRange(logits.rows, grain: 1) { rows in
      for row in rows {
        kernel?(
          logits.row(row), logits.columns, Int(targets[targets.startIndex + row]), smoothing, scale,
          losses.row(row))
      }
    }
  }

  /// What one step of Adam is made of (arXiv 1412.6980).
  public struct AdamStep: Sendable, Hashable {
    /// β₁.
    public var beta1: Float
    /// β₂.
    public var beta2: Float
    /// ε.
    public var epsilon: Float
    /// The learning rate.
    public var rate: Float
    /// t, from 1 on.
    public var step: Int
    /// What every gradient is multiplied by first.
    public var gradientScale: Float

    /// A step.
    public init(
      beta1: Float, beta2: Float, epsilon: Float, rate: Float, step: Int, gradientScale: Float = 1
    ) {
      self.beta1 = beta1
      self.beta2 = beta2
      self.epsilon = epsilon
      self.rate = rate
      self.step = step
      self.gradientScale = gradientScale
    }
  }

  /// Updates weights and their moments with a gradient.
  ///
  /// - Precondition: All have the same number of elements.
  public func adam(
    _ weights: UnsafeMutableBufferPointer<Float>, first: UnsafeMutableBufferPointer<Float>,
    second: UnsafeMutableBufferPointer<Float>, gradient: UnsafeMutableBufferPointer<Float>,
    _ step: AdamStep
  ) {
    precondition(
      first.count == weights.count && second.count == weights.count
        && gradient.count == weights.count, "adam: sizes differ")
    let correction1 = 1 - Self.power(Double(step.beta1), step.step)
    let correction2 = (1 - Self.power(Double(step.beta2), step.step)).squareRoot()
    var kernelStep = swa_adam_step(
      beta1: step.beta1, beta2: step.beta2,
      rate: Float(Double(step.rate) * correction2 / correction1),
      epsilon: Float(Double(step.epsilon) * correction2), gradient_scale: step.gradientScale)
    let kernel = linearKernels.training.adam
    guard let w = weights.baseAddress, let m = first.baseAddress, let v = second.baseAddress,
      let g = gradient.baseAddress
    else { return }
    withUnsafePointer(to: &kernelStep) { kernelStep in
      pool.forEachRange(weights.count, grain: 1 << 15) { range in
        let i = range.lowerBound
        kernel?(w + i, m + i, v + i, g + i, kernelStep, range.count)
      }
    }
  }

  private static func power(_ base: Double, _ exponent: Int) -> Double {
    var (result, factor, rest) = (1.0, base, exponent)
    while rest > 0 {
      if rest & 1 == 1 { result *= factor }
      factor *= factor
      rest >>= 1
    }
    return result
  }

  /// Σ x², in an order that does not depend on threads.
  public func sumOfSquares(_ x: UnsafeMutableBufferPointer<Float>) -> Double {
    let piece = 1 << 15
    let pieces = (x.count + piece - 1) / piece
    guard let base = x.baseAddress, let kernel = linearKernels.training.squares else { return 0 }
    var parts = [Double](repeating: 0, count: pieces)
    parts.withUnsafeMutableBufferPointer { parts in
      nonisolated(unsafe) let parts = parts
      pool.forEachRange(pieces, grain: 1) { range in
        for i in range { parts[i] = kernel(base + i * piece, min(piece, x.count - i * piece)) }
      }
    }
    return parts.reduce(0, +)
  }

  /// Rows by one worker at a time: about 16 KiB.
  private func rowGrain(_ columns: Int) -> Int { max(1, 4096 / max(columns, 1)) }

  /// The most probable tokens of every row of logits, with their log-probabilities.
  ///
  /// - Parameters:
  ///   - logits: Rows × vocabulary.
  ///   - count: How many of each row.
  /// - Returns: For every row, in order, the tokens from the most probable on.
  public func topLogProbabilities(
    _ logits: MatrixView, count: Int
  ) -> [[(token: Int, logProbability: Float)]] {
    let kernels = linearKernels.training
    var values = [Float](repeating: 0, count: logits.rows * count)
    var indices = [UInt32](repeating: 0, count: logits.rows * count)
    var found = [(count: Int, lse: Float)](repeating: (0, 0), count: logits.rows)
    values.withUnsafeMutableBufferPointer { values in
      indices.withUnsafeMutableBufferPointer { indices in
        found.withUnsafeMutableBufferPointer { found in
          nonisolated(unsafe) let (values, indices, found) = (values, indices, found)
          pool.forEachRange(logits.rows, grain: 1) { rows in
            for row in rows {
              guard let v = values.baseAddress, let i = indices.baseAddress else { continue }
              found[row] = (
                kernels.largest(
                  logits.row(row), logits.columns, count, v + row * count, i + row * count),
                kernels.log_sum_exp(logits.row(row), logits.columns)
              )
            }
          }
        }
      }
    }
    var result: [[(token: Int, logProbability: Float)]] = []
    for row in 0..<logits.rows {
      let (most, lse) = found[row]
      var best: [(token: Int, logProbability: Float)] = []
      for i in row * count..<row * count + most { best.append((Int(indices[i]), values[i] - lse)) }
      result.append(best)
    }
    return result
  }
}
