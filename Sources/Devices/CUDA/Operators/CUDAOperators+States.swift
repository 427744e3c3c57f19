// The merge ⊕ of attention states (arXiv 2501.01005, §2.2). An empty state is an exact identity
// whatever its output holds; rows that are all empty give exactly (0, −∞).
extension CUDAOperators {
  var mergeStates: String {
    """
    // Logarithms come in a base and leave in one: factors to natural ones, and from them.
    \(kernel("merge_states", """
      const Element* outputs, const float* lse, const int* offsets, int each, float toNatural,
      Element* y, float* yLSE, float fromNatural, int heads, int dimension, int rows
      """)) {
      for (long long i = blockIdx.x; i < (long long)rows * heads; i += gridDim.x) {
        const long long row = i / heads, head = i % heads;
        const long long first = offsets ? offsets[row] : row * each;
        const long long end = offsets ? offsets[row + 1] : first + each;
        float top = -infinity(), sum = 0.f;
        for (long long s = first; s < end; ++s) top = fmaxf(top, lse[s * heads + head] * toNatural);
        if (top > -infinity())
          for (long long s = first; s < end; ++s)
            sum += expf(lse[s * heads + head] * toNatural - top);
        for (int d = threadIdx.x; d < dimension; d += blockDim.x) {
          float x = 0.f;
          for (long long s = first; s < end && top > -infinity(); ++s) {
            const float weight = expf(lse[s * heads + head] * toNatural - top) / sum;
            if (weight != 0.f) x += weight * load(outputs + (s * heads + head) * dimension + d);
          }
          store(y + i * dimension + d, x);
        }
        if (threadIdx.x == 0) yLSE[i] = top > -infinity() ? (top + logf(sum)) * fromNatural : top;
      }
    }
    \(kernel("merge_state", """
      const Element* a, const float* aLSE, float aToNatural, const Element* b, const float* bLSE,
      float bToNatural, const unsigned char* mask, Element* y, float* yLSE, float fromNatural,
      int heads, int dimension, int rows
      """)) {
      for (long long i = blockIdx.x; i < (long long)rows * heads; i += gridDim.x) {
        if (mask && !mask[i / heads]) continue;
        const float first = aLSE[i] * aToNatural, second = bLSE[i] * bToNatural;
        const float top = fmaxf(first, second);
        const bool empty = top == -infinity();
        const float sum = empty ? 1.f : expf(first - top) + expf(second - top);
        const float p = empty ? 0.f : expf(first - top) / sum;
        const float q = empty ? 0.f : expf(second - top) / sum;
        // All threads have read before the result takes a state's place.
        __syncthreads();
        for (int d = threadIdx.x; d < dimension; d += blockDim.x) {
          const float x = p != 0.f ? p * load(a + i * dimension + d) : 0.f;
          store(y + i * dimension + d, q != 0.f ? x + q * load(b + i * dimension + d) : x);
        }
        if (threadIdx.x == 0) yLSE[i] = empty ? top : (top + logf(sum)) * fromNatural;
      }
    }
    """
  }

  /// Attention states in a device's memory: rows × heads × D outputs, rows × heads log-sum-exps.
  public struct States: Sendable, Hashable {
    /// Outputs of the family's type, one after the other.
    public var outputs: CUDAAddress
    /// Log-sum-exps, floats.
    public var logSumExps: CUDAAddress
    /// The natural logarithm of the log-sum-exps' base: 1 for e, ln 2 for 2.
    public var logOfBase: Float

    /// States.
    public init(outputs: CUDAAddress, logSumExps: CUDAAddress, logOfBase: Float = 1) {
      (self.outputs, self.logSumExps, self.logOfBase) = (outputs, logSumExps, logOfBase)
    }
  }

  /// Merges several states into each row.
  ///
  /// - Parameters:
  ///   - states: Those of row `i` are `offsets[i] ..< offsets[i + 1]`, 32-bit integers, or without
  ///     offsets `i · count ..< (i + 1) · count`.
  ///   - result: One state for each row; other memory than `states`.
  public func mergeStates(
    _ states: States, offsets: CUDAAddress = .none, count: Int = 0, into result: States, rows: Int,
    heads: Int, dimension: Int
  ) -> CUDALaunch {
    CUDALaunch(
      "merge_states", blocks: Self.blocks(rows * heads),
      [
        .address(states.outputs), .address(states.logSumExps), .address(offsets), .int(count),
        .float(states.logOfBase), .address(result.outputs), .address(result.logSumExps),
        .float(1 / result.logOfBase), .int(heads), .int(dimension), .int(rows),
      ])
  }

  /// Merges two states of each row; where a mask (bytes) is 0 the result's row stays as it is.
  ///
  /// - Parameter result: May be `a` or `b`.
  public func mergeState(
    _ a: States, _ b: States, mask: CUDAAddress = .none, into result: States, rows: Int, heads: Int,
    dimension: Int
  ) -> CUDALaunch {
    CUDALaunch(
      "merge_state", blocks: Self.blocks(rows * heads),
      [
        .address(a.outputs), .address(a.logSumExps), .float(a.logOfBase), .address(b.outputs),
        .address(b.logSumExps), .float(b.logOfBase), .address(mask), .address(result.outputs),
        .address(result.logSumExps), .float(1 / result.logOfBase), .int(heads), .int(dimension),
        .int(rows),
      ])
  }
}
