extension CUDAOperators {
  var packBits: String {
    """
    \(kernel("pack_bits", """
      const unsigned char* x, const long long* offsets, const long long* byteOffsets,
      unsigned char* bytes, int highestFirst, int segments
      """)) {
      for (long long s = blockIdx.x; s < segments; s += gridDim.x) {
        const long long count = offsets[s + 1] - offsets[s];
        for (long long b = threadIdx.x; b < (count + 7) / 8; b += blockDim.x) {
          unsigned byte = 0;
          for (int i = 0; i < 8 && b * 8 + i < count; ++i)
            if (x[offsets[s] + b * 8 + i]) byte |= 1u << (highestFirst ? 7 - i : i);
          bytes[byteOffsets[s] + b] = (unsigned char)byte;
        }
      }
    }
    """
  }

  /// Packs truth values into bits, segment by segment (FlashInfer's `segment_packbits`).
  ///
  /// - Parameters:
  ///   - values: Bytes; anything but 0 is true.
  ///   - offsets: Where segments begin and end in `values`, 64-bit integers.
  ///   - bytes: Where the bits go.
  ///   - byteOffsets: Where segments begin in `bytes`, 64-bit integers.
  ///   - isHighestFirst: Whether a byte's first value is its highest bit, not its lowest.
  public func packBits(
    _ values: CUDAAddress, offsets: CUDAAddress, into bytes: CUDAAddress, byteOffsets: CUDAAddress,
    segments: Int, isHighestFirst: Bool = false
  ) -> CUDALaunch {
    CUDALaunch(
      "pack_bits", blocks: Self.blocks(segments),
      [
        .address(values), .address(offsets), .address(byteOffsets), .address(bytes),
        .int(isHighestFirst ? 1 : 0), .int(segments),
      ])
  }
}
