internal import Tensors

// What the text stands on: numbers, conversions, and raw PTX where C++ has no words.
extension CUDAAttentionKernel {
  /// Helpers that do not depend on the kernel.
  ///
  /// A C++ build with `ATTENTION_EMULATION` has functions of the same names from a header.
  var prelude: String {
    """
    #ifndef ATTENTION_EMULATION
    \(Self.instructions)
    \(hopperTile == nil ? "" : Self.hopperInstructions)
    #endif
    \(hopperTile == nil ? "" : Self.describeMatrix)

    __device__ inline float infinity() { return __int_as_float(0x7f800000); }
    __device__ inline float not_a_number() { return __int_as_float(0x7fc00000); }
    __device__ inline int neighbour(int d, int count) { return (d ^ 1) < count ? d ^ 1 : d; }
    __device__ inline int opposite(int d, int half) {
      return d < half ? d + half : d < 2 * half ? d - half : d;
    }
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
  }

  /// Raw PTX.
  private static let instructions = """
    typedef unsigned SharedAddress;
    #define SHARED_MEMORY(name) extern __shared__ __align__(1024) unsigned char name[]

    __device__ inline SharedAddress shared_address(const void* at) {
      return (unsigned)__cvta_generic_to_shared(at);
    }
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
    // 16 bytes from global to shared memory; zeros where `valid` is false.
    __device__ inline void copy_async(SharedAddress to, const void* from, bool valid) {
      asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
          :: "r"(to), "l"(__cvta_generic_to_global(from)), "r"(valid ? 16 : 0) : "memory");
    }
    __device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
    template <int pending> __device__ inline void wait_copies() {
      asm volatile("cp.async.wait_group %0;" :: "n"(pending) : "memory");
    }
    __device__ inline void load_matrices(unsigned (&r)[4], SharedAddress at) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
          : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
    }
    __device__ inline void load_matrices_transposed(unsigned (&r)[4], SharedAddress at) {
      asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
          : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
    }
    __device__ inline void multiply_bf16(
        float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
          "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
    __device__ inline void multiply_f16(
        float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
      asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
          "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
          : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    }
    __device__ inline unsigned load_volatile(const unsigned* at) {
      unsigned x;
      asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(x) : "l"(at) : "memory");
      return x;
    }
    """

  /// The element types of this kernel.
  var types: String {
    func name(_ type: ElementType, _ role: String) -> String {
      let (bits, number) =
        switch type {
        case .float32: ("", "")
        case .bfloat16: ("unsigned short", "from_bf16")
        case .float16: ("unsigned short", "from_f16")
        case .float8E4M3: ("unsigned char", "from_e4m3")
        case .float8E5M2: ("unsigned char", "from_e5m2")
        default: ("signed char", "float")
        }
      if bits.isEmpty { return "typedef float \(role);" }
      return """
        struct \(role) { \(bits) bits; };
        __device__ inline float load(const \(role)* at) { return \(number)(at->bits); }
        """
    }
    var parts = [name(queryType, "Query"), name(storedType, "Stored")]
    switch queryType {
    case .bfloat16:
      parts.append(
        "__device__ inline void store(Query* at, float x) { at->bits = pack_bf16(x, 0.f); }")
    case .float16:
      parts.append(
        "__device__ inline void store(Query* at, float x) { at->bits = pack_f16(x, 0.f); }")
    default: break
    }
    return parts.joined(separator: "\n")
  }

  /// Where a score or an element stands, and what a tile's row sees.
  var places: String {
    """
    struct Place { int query, kv, queryHead, kvHead, request, queryLength, kvLength; };
    // A row of a query tile: its place, its row of the matrices, the positions that it may see.
    struct Row { Place place; int index, first, end; };

    __device__ inline float mask_bit(const Arguments& a, const Place& p, int number) {
      const Mask mask = a.masks[number];
      const long long bit =
          (long long)(p.query - p.kvLength + p.queryLength) * p.kvLength + p.kv;
      return float(mask.bytes[mask.offsets[p.request] + (bit >> 3)] >> (bit & 7) & 1);
    }
    """
  }
}
