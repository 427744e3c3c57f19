internal import Devices
import Glibc

/// How a model is trained (§5.3, §5.4).
public struct TrainingOptions: Sendable, Hashable, Codable {
  /// Steps of the optimizer.
  public var steps = 100_000
  /// Target tokens, about, of a pass forward and backward.
  public var batchTokens = 4096
  /// Passes of a step.
  public var accumulation = 1
  /// Adam's β₁.
  public var beta1: Float = 0.9
  /// Adam's β₂.
  public var beta2: Float = 0.98
  /// Adam's ε.
  public var epsilon: Float = 1e-9
  /// Steps of rising learning rate.
  public var warmup = 4000
  /// What the schedule is multiplied by.
  public var rateFactor: Float = 1
  /// A learning rate for all steps in place of the schedule.
  public var constantRate: Float?
  /// The norm that the gradient is clipped to; `nil` leaves it.
  public var clip: Float?
  /// The seed of weights, order and dropout.
  public var seed: UInt64 = 1
  /// Whether products round their factors to bfloat16; weights and moments stay 32-bit floats.
  public var usesBFloat16 = false
  /// Whether a batch has sentences of about one length.
  public var sortsByLength = false
  /// Weights of how many of the last checkpoints are averaged for the final model.
  public var averaged = 5
  /// Sentences longer than this on either side are left out.
  public var maximumLength = 256

  /// The paper's values.
  public init() {}

  /// Equation 3: lrate = d_model^(−0.5) · min(step^(−0.5), step · warmup^(−1.5)).
  public func learningRate(step: Int, modelDimension: Int) -> Float {
    if let constantRate { return constantRate }
    let (step, warmup) = (Double(max(step, 1)), Double(max(warmup, 1)))
    let rate = min(pow(step, -0.5), step * pow(warmup, -1.5))
    return rateFactor * Float(pow(Double(modelDimension), -0.5) * rate)
  }

  var precision: ProductPrecision { usesBFloat16 ? .bfloat16 : .float32 }
}
