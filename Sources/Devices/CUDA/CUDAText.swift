package import Tensors

/// What all generated kernels stand on: numbers and their stored forms, as CUDA C++.
///
/// A C++ build with `ATTENTION_EMULATION` has functions of the same names as `instructions` from a
/// header.
package enum CUDAText {
  /// Shared memory, and conversions that are one instruction.
  package static let instructions = """
    #define SHARED_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]

    __device__ inline float from_f16(unsigned x) {
      float y;
      asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"((unsigned short)x));
      return y;
    }
    __device__ inline unsigned pack_f16(float low, float high) {
      unsigned y;
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
      return y;
    }
    __device__ inline unsigned pack_bf16(float low, float high) {
      unsigned y;
      asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
      return y;
    }
    """

  /// Numbers that are none, and widening.
  package static let numbers = """
    __device__ inline float infinity() { return __int_as_float(0x7f800000); }
    __device__ inline float not_a_number() { return __int_as_float(0x7fc00000); }
    __device__ inline float from_bf16(unsigned x) { return __int_as_float((int)(x << 16)); }
    __device__ inline float from_e4m3(unsigned x) {
      if ((x & 0x7f) == 0x7f) return not_a_number();
      // The exponent's bias grows from 7 to 127 by a product, which is exact for subnormals too.
      return __int_as_float((int)((x & 0x80) << 24 | (x & 0x7f) << 20)) * 0x1p120f;
    }
    __device__ inline float from_e5m2(unsigned x) { return from_f16(x << 8); }
    __device__ inline void store(float* at, float x) { *at = x; }
    __device__ inline float load(const float* at) { return *at; }
    """

  /// Narrowing to eight bits: the nearest, ties to even, too large a magnitude the largest.
  private static let narrowing = """
    __device__ inline unsigned to_small(float x, int fraction, int bias, unsigned largest) {
      const unsigned bits = (unsigned)__float_as_int(x), sign = bits >> 24 & 0x80;
      const unsigned size = bits & 0x7fffffff;
      if (size > 0x7f800000u) return sign | 0x7f;
      unsigned code;
      if (size < (unsigned)(128 - bias) << 23) {
        // Below the least normal number the float adder rounds to its steps.
        const unsigned magic = (unsigned)(127 + 24 - bias - fraction) << 23;
        code = (unsigned)__float_as_int(__int_as_float((int)size) + __int_as_float((int)magic)) - magic;
      } else {
        const int shift = 23 - fraction;
        code = ((size + (1u << (shift - 1)) - 1 + (size >> shift & 1)) >> shift)
            - ((unsigned)(127 - bias) << fraction);
      }
      return sign | (code > largest ? largest : code);
    }
    """

  /// An element type under a name of its own, with `load`; and with `store` where asked for.
  package static func element(
    _ type: ElementType, named name: String, isStored: Bool = false
  ) -> String {
    let (bits, widened, narrowed): (String, String, String) =
      switch type {
      case .float32: ("", "", "")
      case .bfloat16: ("unsigned short", "from_bf16(at->bits)", "pack_bf16(x, 0.f)")
      case .float16: ("unsigned short", "from_f16(at->bits)", "pack_f16(x, 0.f)")
      case .float8E4M3: ("unsigned char", "from_e4m3(at->bits)", "to_small(x, 3, 7, 0x7e)")
      case .float8E5M2: ("unsigned char", "from_e5m2(at->bits)", "to_small(x, 2, 15, 0x7b)")
      default:
        ("signed char", "float(at->bits)", "(x == x ? rintf(fminf(fmaxf(x, -127.f), 127.f)) : 0.f)")
      }
    if bits.isEmpty { return "typedef float \(name);" }
    var lines = """
      struct \(name) { \(bits) bits; };
      __device__ inline float load(const \(name)* at) { return \(widened); }
      """
    if isStored {
      if type == .float8E4M3 || type == .float8E5M2 { lines = narrowing + "\n" + lines }
      lines += """

        __device__ inline void store(\(name)* at, float x) { at->bits = (\(bits))\(narrowed); }
        """
    }
    return lines
  }

  /// A text whose loops stay loops where nothing is said of them.
  ///
  /// The compiler unrolls what it can, which takes a fifth of its time and no less of the kernel's where
  /// loops are not the inner ones.
  package static func rolled(_ text: String) -> String {
    var isTold = false
    return text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      let code = line.drop { $0 == " " }
      defer { isTold = code.hasPrefix("#pragma unroll") }
      guard code.hasPrefix("for ("), !isTold else { return String(line) }
      return line.prefix(line.count - code.count) + "#pragma unroll 1\n" + line
    }.joined(separator: "\n")
  }
}

extension String {
  /// The text with every line but the first further to the right.
  package func indented(by spaces: Int) -> String {
    split(separator: "\n", omittingEmptySubsequences: false)
      .joined(separator: "\n" + String(repeating: " ", count: spaces))
  }
}
