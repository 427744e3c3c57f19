extension CUDAOperators {
  var softmax: String {
    """
    \(kernel("softmax", """
      Element* x, long long stride, const float* temperatures, int temperatureStride, int columns,
      int rows
      """)) {
      SHARED_MEMORY(memory);
      for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        Element* at = x + row * stride;
        const float scale = fminf(1.f / temperatures[row * temperatureStride], 0x1.fffffep127f);
        float top = -infinity(), sum = 0.f;
        for (int i = threadIdx.x; i < columns; i += blockDim.x) top = fmaxf(top, load(at + i));
        top = block_largest(top, memory);
        // A row of −∞ only becomes 0, and NaN goes through the sum to the whole row.
        const float base = top > -infinity() ? top : 0.f;
        for (int i = threadIdx.x; i < columns; i += blockDim.x)
          sum += expf((load(at + i) - base) * scale);
        sum = block_sum(sum, memory);
        const float factor = sum == 0.f ? 0.f : 1.f / sum;
        for (int i = threadIdx.x; i < columns; i += blockDim.x)
          store(at + i, expf((load(at + i) - base) * scale) * factor);
      }
    }
    """
  }

  /// Replaces every row by e^(x/T) / Σ e^(x/T).
  ///
  /// - Parameters:
  ///   - x: Rows of logits, then of probabilities.
  ///   - temperatures: Floats above 0.
  ///   - isPerRow: Whether there is a temperature for each row, not one for all.
  public func softmax(_ x: CUDAMatrix, temperatures: CUDAAddress, isPerRow: Bool) -> CUDALaunch {
    CUDALaunch(
      "softmax", blocks: Self.blocks(x.rows),
      [
        .address(x.base), .long(x.stride), .address(temperatures), .int(isPerRow ? 1 : 0),
        .int(x.columns), .int(x.rows),
      ])
  }
}
