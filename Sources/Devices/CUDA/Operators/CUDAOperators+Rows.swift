public import Tensors

// Rows of a stored table as activations: the embedding's by their ids, a quantised matrix's all. What
// an element of each type means is `Checkpoints/Dequantization` said again, one element at a time.
extension CUDAOperators {
  /// What a table's rows may be stored in.
  public static let rowTypes: [ElementType] = [
    .float32, .bfloat16, .float16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_K, .q3_K, .q4_K, .q5_K,
    .q6_K,
  ]

  /// Element `j` of a block.
  var decoding: String {
    let body =
      switch storedType {
      case .float32:
        "return __int_as_float((int)(half_word(block, 0) | half_word(block, 2) << 16));"
      case .bfloat16: "return from_bf16(half_word(block, 0));"
      case .float16: "return scale_at(block, 0);"
      case .q4_0: "return scale_at(block, 0) * (float)((int)nibble16(block, 2, j) - 8);"
      case .q4_1:
        """
        return __fadd_rn(
            __fmul_rn(scale_at(block, 0), (float)nibble16(block, 4, j)), scale_at(block, 2));
        """
      case .q5_0: "return scale_at(block, 0) * (float)((int)five_bits(block, 2, 6, j) - 16);"
      case .q5_1:
        """
        return __fadd_rn(
            __fmul_rn(scale_at(block, 0), (float)five_bits(block, 4, 8, j)), scale_at(block, 2));
        """
      case .q8_0: "return scale_at(block, 0) * (float)(signed char)block[2 + j];"
      case .q2_K:
        """
        const unsigned scales = block[j / 16];
        const float d = scale_at(block, 80) * (float)(scales & 15);
        const float m = scale_at(block, 82) * (float)(scales >> 4);
        return __fsub_rn(__fmul_rn(d, (float)two_bits(block, 16, j)), m);
        """
      case .q3_K:
        """
        const int group = j / 16;
        const unsigned low = block[96 + group % 8] >> group / 8 * 4 & 15;
        const unsigned high = block[104 + group % 4] >> group / 4 * 2 & 3;
        const float d = scale_at(block, 108) * (float)((int)(low | high << 4) - 32);
        const unsigned third = block[j % 32] >> j / 32 & 1;
        return d * (float)((int)(two_bits(block, 32, j) | third << 2) - 4);
        """
      case .q4_K, .q5_K:
        """
        const int group = j / 32;
        const float d = scale_at(block, 0) * (float)six_bits(block, group, false);
        const float m = scale_at(block, 2) * (float)six_bits(block, group, true);
        \(storedType == .q4_K
          ? "const unsigned q = nibble32(block, 16, j);"
          : "const unsigned q = nibble32(block, 48, j) | (block[16 + j % 32] >> group & 1) << 4;")
        return __fsub_rn(__fmul_rn(d, (float)q), m);
        """
      default:  // q6_K
        """
        const int half = j / 128, element = j % 128;
        const float d = scale_at(block, 208) * (float)(signed char)block[192 + j / 16];
        const unsigned low = block[half * 64 + element % 64] >> element / 64 * 4 & 15;
        const unsigned high = block[128 + half * 32 + element % 32] >> element / 32 * 2 & 3;
        return d * (float)((int)(low | high << 4) - 32);
        """
      }
    return """
      typedef const unsigned char* Block;
      // Blocks may begin at any address.
      __device__ inline unsigned half_word(Block block, int at) {
        return block[at] | (unsigned)block[at + 1] << 8;
      }
      __device__ inline float scale_at(Block block, int at) { return from_f16(half_word(block, at)); }
      // Bytes of nibbles of elements j and j + 16, or of two groups of 32.
      __device__ inline unsigned nibble16(Block block, int at, int j) {
        return block[at + j % 16] >> j / 16 * 4 & 15;
      }
      __device__ inline unsigned nibble32(Block block, int at, int j) {
        return block[at + j / 64 * 32 + j % 32] >> j / 32 % 2 * 4 & 15;
      }
      __device__ inline unsigned five_bits(Block block, int fifths, int at, int j) {
        return nibble16(block, at, j) | (block[fifths + j / 8] >> j % 8 & 1) << 4;
      }
      // Each half of 128 elements has 32 bytes, pairs of bits belong to runs of 32 elements.
      __device__ inline unsigned two_bits(Block block, int at, int j) {
        return block[at + j / 128 * 32 + j % 32] >> j % 128 / 32 * 2 & 3;
      }
      // Scales and minima of eight groups in the twelve bytes from 4 on.
      __device__ inline unsigned six_bits(Block block, int group, bool minimum) {
        const int at = 4 + group + (minimum ? 4 : 0);
        if (group < 4) return block[at] & 63;
        const unsigned low = block[4 + group + 4] >> (minimum ? 4 : 0) & 15;
        return low | (unsigned)(block[at - 4] >> 6) << 4;
      }
      __device__ inline float element_of(Block block, int j) {
        \(body.indented(by: 2))
      }
      """
  }

  var gather: String {
    let (length, bytes) = (storedType.blockLength, storedType.blockBytes)
    return """
      \(kernel("gather", """
        const unsigned char* table, long long tableRows, const int* ids, const int* others, float factor,
        Element* y, long long yStride, int columns, int rows
        """)) {
        for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
             i < (long long)rows * columns; i += (long long)gridDim.x * blockDim.x) {
          const long long row = i / columns;
          const int column = (int)(i % columns);
          long long id = ids ? ids[row] : row;
          if (id < 0 && others) id = others[-1 - id];
          // Rows that the table does not have are 0.
          float x = 0.f;
          if (id >= 0 && id < tableRows)
            x = element_of(
                table + (id * (columns / \(length)) + column / \(length)) * \(bytes), column % \(length));
          store(y + row * yStride + column, x * factor);
        }
      }
      """
  }

  /// Dequantises rows of a table: those that `ids` name, or all in order.
  ///
  /// - Parameters:
  ///   - table: Rows of whole blocks of the family's stored type, one after the other.
  ///   - tableRows: The rows of the table; a row that it does not have is 0.
  ///   - ids: 32-bit integers, one for each row of `y`; may be absent.
  ///   - others: Where given, −1 − i of `ids` stands for the i-th of these.
  ///   - factor: What elements are multiplied by, √d for Gemma's embedding.
  ///   - y: Rows × columns, the table's columns.
  public func gather(
    _ table: CUDAAddress, tableRows: Int, ids: CUDAAddress = .none, others: CUDAAddress = .none,
    factor: Float = 1, into y: CUDAMatrix
  ) -> CUDALaunch {
    CUDALaunch(
      "gather", blocks: Self.blocks(elements: y.rows * y.columns),
      [
        .address(table), .long(tableRows), .address(ids), .address(others), .float(factor),
        .address(y.base), .long(y.stride), .int(y.columns), .int(y.rows),
      ])
  }
}
