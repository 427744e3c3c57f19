internal import Devices
internal import Tensors

// What the text stands on: numbers, conversions, and raw PTX where C++ has no words.
extension CUDAAttentionKernel {
  /// Helpers that do not depend on the kernel.
  ///
  /// A C++ build with `ATTENTION_EMULATION` has functions of the same names from a header.
  var prelude: String {
    """
    #ifndef ATTENTION_EMULATION
    \(CUDAText.instructions)
    \(Self.instructions)
    \(hopperTile == nil ? "" : Self.hopperInstructions)
    #endif
    \(hopperTile == nil ? "" : Self.describeMatrix)

    \(CUDAText.numbers)
    __device__ inline int neighbour(int d, int count) { return (d ^ 1) < count ? d ^ 1 : d; }
    __device__ inline int opposite(int d, int half) {
      return d < half ? d + half : d < 2 * half ? d - half : d;
    }
    """
  }

  /// Raw PTX.
  private static let instructions = """
    typedef unsigned SharedAddress;
    __device__ inline SharedAddress shared_address(const void* at) {
      return (unsigned)__cvta_generic_to_shared(at);
    }
    // 16 bytes from global to shared memory; zeros where `valid` is false.
    __device__ inline void copy_async(SharedAddress to, const void* from, bool valid) {
      asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;"
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
    __device__ inline float exponential(float x) {
      float y;
      asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x * 1.4426950408889634f));
      return y;
    }
    // Of sums of weights, the largest of which is 1: to the last bit or two.
    __device__ inline float logarithm(float x) { return __logf(x); }
    __device__ inline float quotient(float x, float y) { return __fdividef(x, y); }
    __device__ inline void synchronize_group(int number, int threads) {
      asm volatile("bar.sync %0, %1;" :: "r"(number), "r"(threads) : "memory");
    }
    __device__ inline unsigned long long load_volatile(const unsigned long long* at) {
      unsigned long long x;
      asm volatile("ld.acquire.gpu.global.u64 %0, [%1];" : "=l"(x) : "l"(at) : "memory");
      return x;
    }
    """

  /// The element types of this kernel.
  var types: String {
    CUDAText.element(queryType, named: "Query", isStored: true) + "\n"
      + CUDAText.element(storedType, named: "Stored")
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
