public import Devices
internal import LanguageModels
import Tensors
public import Tokenizers

/// Draws tokens from logits.
public struct Sampler: Sendable {
  /// How tokens are chosen.
  public let parameters: SamplingParameters

  private let device: CPUDevice

  /// A sampler with valid parameters.
  public init(_ parameters: SamplingParameters, device: CPUDevice)
    throws(SamplingParameters.Invalid)
  {
    try parameters.validate()
    self.parameters = parameters
    self.device = device
  }

  /// The token at `position` of its sequence, drawn from `logits`, one for every token id.
  ///
  /// A NaN logit is never chosen. `nil` where no logit is a number above −∞.
  public func sample(_ logits: UnsafeBufferPointer<Float>, position: Int) -> TokenID? {
    guard let base = logits.baseAddress else { return nil }
    // The operator only reads.
    let row = MatrixView(UnsafeMutablePointer(mutating: base), rows: 1, columns: logits.count)
    // Parameters were checked at birth; a vocabulary of 2³¹ tokens has no logits.
    let draw = draw(position: position)
    let drawn = try? device.sampleFromLogits(
      row, temperatures: [draw.temperature], filters: [draw.filter], random: [draw.random])
    return drawn?.first?.map { TokenID($0) }
  }

  /// The same draw, for a runner that makes it where the logits are.
  func draw(position: Int) -> TokenDraw {
    parameters.draw(row: 0, seed: parameters.seed, position: position)
  }
}
