import Glibc

// Rotary embedding (arXiv 2104.09864), every scaling: a pair's frequency is a fraction of a turn in
// 64-bit fixed point, so that the angle of any position is one product that wraps, exact to a float.
extension CUDAOperators {
  var rotate: String {
    """
    \(kernel("rotate", """
      Element* x, long long stride, int heads, int headDimension, int first, int pairs,
      int adjacent, const int* positions, const unsigned long long* turns, float amplitude,
      int rows
      """)) {
      SHARED_MEMORY(memory);
      float* cosines = (float*)memory;
      float* sines = cosines + 1024;
      for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        for (int part = 0; part < pairs; part += 1024) {
          const int count = pairs - part < 1024 ? pairs - part : 1024;
          __syncthreads();
          for (int i = threadIdx.x; i < count; i += blockDim.x) {
            const unsigned long long angle =
                (unsigned long long)(long long)positions[row] * turns[part + i];
            // Half turns, −1 to 1.
            const float half = (float)(long long)angle * 0x1p-63f;
            cosines[i] = amplitude * cospif(half);
            sines[i] = amplitude * sinpif(half);
          }
          __syncthreads();
          for (int i = threadIdx.x; i < heads * count; i += blockDim.x) {
            const int pair = part + i % count;
            Element* head = x + row * stride + i / count * headDimension + first;
            Element* low = head + (adjacent ? 2 * pair : pair);
            Element* high = low + (adjacent ? 1 : pairs);
            const float c = cosines[i % count], s = sines[i % count];
            const float a = load(low), b = load(high);
            store(low, a * c - b * s);
            store(high, b * c + a * s);
          }
        }
      }
    }
    """
  }

  /// Turns the pairs of every head by the rows' positions, in place.
  ///
  /// - Parameters:
  ///   - x: Tokens × (heads · headDimension).
  ///   - heads: The heads of a row.
  ///   - embedding: Whose pairs, layout and amplitude.
  ///   - turns: The embedding's ``RotaryEmbedding/turns`` in the device's memory.
  ///   - positions: 32-bit integers, one for each row.
  ///   - first: The first element of a head that is turned.
  public func rotate(
    _ x: CUDAMatrix, heads: Int, _ embedding: RotaryEmbedding, turns: CUDAAddress,
    positions: CUDAAddress, first: Int = 0
  ) -> CUDALaunch {
    CUDALaunch(
      "rotate", blocks: Self.blocks(x.rows),
      [
        .address(x.base), .long(x.stride), .int(heads), .int(x.columns / max(heads, 1)),
        .int(first), .int(embedding.dimension / 2), .int(embedding.pairing == .adjacent ? 1 : 0),
        .address(positions), .address(turns), .float(Float(embedding.amplitude)), .int(x.rows),
      ])
  }
}

extension RotaryEmbedding {
  /// How far each pair turns per position, in 2⁻⁶⁴ of a turn; whole turns do not count.
  public var turns: [UInt64] {
    frequencies.map { frequency in
      let turns = frequency / (2 * .pi)
      // The upper half exactly, then what it leaves of the lower.
      let scaled = (turns - turns.rounded(.down)) * 0x1p32
      let high = scaled.rounded(.down)
      return UInt64(high) << 32 | UInt64((scaled - high) * 0x1p32)
    }
  }
}
