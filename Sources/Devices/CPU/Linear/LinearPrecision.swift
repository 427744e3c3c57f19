/// How a linear layer treats the activations that it multiplies.
public enum LinearPrecision: String, Sendable, Hashable, CaseIterable {
  /// Activations stay 32-bit floats: results follow the stored weights to about 1e-6 of Σ|x·w|.
  case exact

  /// Activations are rounded to what the processor multiplies fastest beside the stored weights.
  ///
  /// - BF16 and F16 weights: both factors are rounded to bfloat16 and multiplied in pairs, where the
  ///   processor has such an instruction (`avx512bf16`).
  /// - Quantised weights: activations are rounded to 8-bit integers, with a scale for every 32 of
  ///   them, and codes multiplied as integers; scales and minima are applied in 32-bit floats
  ///   (`avx2` and above).
  /// - F32 weights, and other levels: as `exact`.
  ///
  /// An activation that is not finite makes the outputs of its row NaN.
  case fast
}
