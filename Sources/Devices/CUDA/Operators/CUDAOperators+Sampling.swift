// Sampling without sorting, by dual-pivot rejection (FlashInfer's `sampling.cuh`): draw among the
// tokens above a pivot; the drawn one is kept, or rejects itself and all below it, and a second pivot
// half-way to the top tells how far the next round may narrow.
//
// Tokens are ordered by weight and, among equals, by index: both in one 64-bit key, so that the
// result is drawn from exactly the set that `SamplingFilter` says.
extension CUDAOperators {
  /// Philox4x32-10, as `CounterRandom` has it: a number in [0, 1) with 24 bits.
  var philox: String {
    """
    __device__ inline float uniform(
        unsigned long long seed, unsigned long long counter, unsigned draw) {
      unsigned x0 = (unsigned)counter, x1 = (unsigned)(counter >> 32), x2 = draw, x3 = 0;
      unsigned k0 = (unsigned)seed, k1 = (unsigned)(seed >> 32);
      for (int round = 0; round < 10; ++round) {
        const unsigned high0 = __umulhi(x0, 0xD2511F53u), low0 = x0 * 0xD2511F53u;
        const unsigned high2 = __umulhi(x2, 0xCD9E8D57u), low2 = x2 * 0xCD9E8D57u;
        x0 = high2 ^ x1 ^ k0;
        x1 = low2;
        x2 = high0 ^ x3 ^ k1;
        x3 = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
      }
      return (float)(x0 >> 8) * 0x1p-24f;
    }
    """
  }

  /// The draw from weights that a function object gives.
  var drawing: String {
    """
    typedef unsigned long long Key;
    // Weights are not negative, so their bits are ordered as they are.
    __device__ inline Key key_of(float weight, int i) {
      return (Key)(unsigned)__float_as_int(weight) << 32 | (0xffffffffu - (unsigned)i);
    }
    __device__ inline Key key_below(float weight) { return key_of(weight, 0); }
    __device__ inline float weight_of(Key key) { return __int_as_float((int)(key >> 32)); }
    __device__ inline int token_of(Key key) { return (int)(0xffffffffu - (unsigned)key); }

    __device__ inline Key block_largest_key(Key x, void* memory) {
      Key* parts = (Key*)memory;
      __syncthreads();
      parts[threadIdx.x] = x;
      __syncthreads();
      for (int count = \(Self.threads / 2); count > 0; count /= 2) {
        if (threadIdx.x < count && parts[threadIdx.x + count] > parts[threadIdx.x])
          parts[threadIdx.x] = parts[threadIdx.x + count];
        __syncthreads();
      }
      return parts[0];
    }

    // How many keys are above a pivot, and their weight.
    struct Above { float mass; int count; };
    template <typename Weights> __device__ inline void above(
        const Weights& weights, int columns, Key first, Key second, Above& a, Above& b,
        void* memory) {
      float masses[2] = {0.f, 0.f}, counts[2] = {0.f, 0.f};
      for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        const float weight = weights(i);
        const Key key = key_of(weight, i);
        if (key > first) { masses[0] += weight; counts[0] += 1.f; }
        if (key > second) { masses[1] += weight; counts[1] += 1.f; }
      }
      a.mass = block_sum(masses[0], memory);
      a.count = (int)block_sum(counts[0], memory);
      b.mass = block_sum(masses[1], memory);
      b.count = (int)block_sum(counts[1], memory);
    }

    // The first token above `low` at which the weights of such tokens, in order, exceed `target`.
    template <typename Weights> __device__ inline int pick(
        const Weights& weights, int columns, Key low, float target, void* memory) {
      float* sums = (float*)memory + 64;
      int* found = (int*)memory + 40;
      float before = 0.f;
      Key last = 0;
      for (int base = 0; base < columns; base += \(4 * Self.threads)) {
        float sum = 0.f;
        for (int e = 0; e < 4; ++e) {
          const int i = base + (int)threadIdx.x * 4 + e;
          const float weight = i < columns ? weights(i) : 0.f;
          if (i < columns && key_of(weight, i) > low) {
            sum += weight;
            last = (Key)i + 1;
          }
        }
        const float all = block_sum(sum, memory);
        if (before + all > target) {
          sums[threadIdx.x] = sum;
          if (threadIdx.x == 0) *found = -1;
          __syncthreads();
          if (threadIdx.x == 0) {
            for (int t = 0; t < \(Self.threads) && *found < 0; ++t) {
              if (before + sums[t] <= target) { before += sums[t]; continue; }
              for (int i = base + t * 4; i < base + t * 4 + 4 && i < columns; ++i) {
                const float weight = weights(i);
                if (key_of(weight, i) <= low) continue;
                *found = i;
                if (before + weight > target) break;
                before += weight;
              }
            }
          }
          __syncthreads();
          const int token = *found;
          if (token >= 0) return token;
          before += all;
        } else {
          before += all;
        }
      }
      // Sums in another order may fall short of the target: the last of them.
      return (int)block_largest_key(last, memory) - 1;
    }

    struct Filter { int topK; float topP, minP; bool joint; };
    // The token that is drawn, for all threads; −1 where no weight is above 0.
    template <typename Weights> __device__ inline int draw(
        const Weights& weights, int columns, const Filter& filter, unsigned long long seed,
        unsigned long long counter, void* memory) {
      Key best = 0;
      for (int i = threadIdx.x; i < columns; i += blockDim.x) {
        const Key key = key_of(weights(i), i);
        if (key > best) best = key;
      }
      best = block_largest_key(best, memory);
      // Nothing of weight 0 has a key above this.
      Key low = key_below(0.f), high = best;
      if (best <= low) return -1;
      const int most = filter.topK > 0 && filter.topK < columns ? filter.topK : columns;
      const float least = filter.minP * weight_of(best);
      Above first, second;
      above(weights, columns, low, best, first, second, memory);
      float mass = first.mass, share = mass;
      if (filter.topP < 1.f && !filter.joint && first.count > most) {
        // The weight of the first `most` tokens. Keys differ, so that a pivot has exactly these above
        // it: `from` has more, `to` fewer.
        for (Key from = low, to = best; to - from > 1;) {
          const Key lower = from + ((to - from) / 3 > 0 ? (to - from) / 3 : 1);
          const Key upper = from + 2 * (to - from) / 3;
          above(weights, columns, lower, upper, first, second, memory);
          share = first.count == most ? first.mass : second.mass;
          if (first.count == most || second.count == most) break;
          if (second.count > most) {
            from = upper;
          } else if (first.count > most) {
            from = lower;
            to = upper;
          } else {
            to = lower;
          }
        }
      }
      const float limit = filter.topP < 1.f ? filter.topP * share : infinity();
      for (unsigned round = 0;; ++round) {
        const int token = pick(weights, columns, low, uniform(seed, counter, round) * mass, memory);
        const float weight = weights(token);
        const Key key = key_of(weight, token);
        const float half = 0.5f * (weight + weight_of(high));
        const Key middle = key_below(half);
        above(weights, columns, key, middle, first, second, memory);
        if (first.count == 0
            || (first.count < most && first.mass < limit && weight >= least)) return token;
        low = key;
        mass = first.mass;
        if (second.count < most && second.mass < limit && half >= least) {
          high = middle;
        } else if (middle > key) {
          low = middle;
          mass = second.mass;
        }
      }
    }
    """
  }

  var sample: String {
    let common = """
      const int* topKs, const float* topPs, const float* minPs, int joint,
      const unsigned long long* seeds, const unsigned long long* counters, int* tokens,
      int columns, int rows
      """
    func body(_ weights: String) -> String {
      """
      {
        SHARED_MEMORY(memory);
        for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
          Filter filter = {topKs ? topKs[row] : 0, topPs ? topPs[row] : 1.f,
              minPs ? minPs[row] : 0.f, joint != 0};
          const Element* at = x + row * stride;
          \(weights.indented(by: 4))
          const int token = draw(weights, columns, filter, seeds[row], counters[row], memory);
          if (threadIdx.x == 0) tokens[row] = token;
        }
      }
      """
    }
    let logits = """
      const float temperature = temperatures[row * temperatureStride];
      float top = -infinity();
      for (int i = threadIdx.x; i < columns; i += blockDim.x) top = fmaxf(top, load(at + i));
      top = block_largest(top, memory);
      // Where nothing is above −∞, nothing has a weight; at temperature 0 only the largest have.
      const Logits weights = {at, top > -infinity() ? top : not_a_number(), 1.f / temperature};
      if (temperature == 0.f) filter.topK = 1;
      """
    return """
      struct Logits {
        const Element* x;
        float top, scale;
        __device__ float operator()(int i) const {
          const float value = load(x + i);
          return value == top ? 1.f : value < top ? expf((value - top) * scale) : 0.f;
        }
      };
      struct Probabilities {
        const Element* x;
        __device__ float operator()(int i) const {
          const float value = load(x + i);
          return value > 0.f ? value : 0.f;
        }
      };
      \(kernel("sample_logits", """
        const Element* x, long long stride, const float* temperatures, int temperatureStride,
        \(common)
        """)) \(body(logits))
      \(kernel("sample_probabilities", "const Element* x, long long stride,\n\(common)")) \(body(
        "const Probabilities weights = {at};"))
      """
  }

  /// What each row's draw depends on; addresses of one value for each row.
  public struct Draws: Sendable, Hashable {
    /// 32-bit integers, 0 keeps all; may be absent.
    public var topK: CUDAAddress
    /// Floats, 1 keeps all; may be absent.
    public var topP: CUDAAddress
    /// Floats, 0 keeps all; may be absent.
    public var minP: CUDAAddress
    /// What `topP` is a share of.
    public var order: SamplingFilter.Order
    /// Seeds of ``CounterRandom``, 64 bits.
    public var seeds: CUDAAddress
    /// Counters of ``CounterRandom``, 64 bits.
    public var counters: CUDAAddress

    /// Draws without filters.
    public init(seeds: CUDAAddress, counters: CUDAAddress) {
      (self.seeds, self.counters) = (seeds, counters)
      (topK, topP, minP, order) = (.none, .none, .none, .topKFirst)
    }

    fileprivate var arguments: [CUDALaunch.Argument] {
      [
        .address(topK), .address(topP), .address(minP), .int(order == .joint ? 1 : 0),
        .address(seeds), .address(counters),
      ]
    }
  }

  /// Draws a token of every row from softmax(logits / temperature), filtered.
  ///
  /// Without a filter the draws are `CPUDevice.sampleFromLogits`'s but for rounding; with one they have
  /// its distribution. Fewer than 2²⁴ columns.
  ///
  /// - Parameters:
  ///   - logits: Rows × vocabulary; NaN is never drawn.
  ///   - temperatures: Floats of at least 0; 0 takes the first of the largest.
  ///   - isPerRow: Whether there is a temperature for each row, not one for all.
  ///   - tokens: Where 32-bit columns go, −1 where no logit is above −∞.
  public func sampleFromLogits(
    _ logits: CUDAMatrix, temperatures: CUDAAddress, isPerRow: Bool, _ draws: Draws,
    into tokens: CUDAAddress
  ) -> CUDALaunch {
    CUDALaunch(
      "sample_logits", blocks: Self.blocks(logits.rows),
      [
        .address(logits.base), .long(logits.stride), .address(temperatures),
        .int(isPerRow ? 1 : 0),
      ] + draws.arguments + [.address(tokens), .int(logits.columns), .int(logits.rows)])
  }

  /// Draws a token of every row of probabilities, which need not sum to 1, filtered.
  ///
  /// What is not positive is never drawn. Parameters as for `sampleFromLogits`.
  public func sampleFromProbabilities(
    _ probabilities: CUDAMatrix, _ draws: Draws, into tokens: CUDAAddress
  ) -> CUDALaunch {
    CUDALaunch(
      "sample_probabilities", blocks: Self.blocks(probabilities.rows),
      [.address(probabilities.base), .long(probabilities.stride)] + draws.arguments
        + [.address(tokens), .int(probabilities.columns), .int(probabilities.rows)])
  }
}
