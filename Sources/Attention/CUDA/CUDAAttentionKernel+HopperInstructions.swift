// What sm_90a has beside: barriers in memory, boxes by TMA, products of warp groups.
extension CUDAAttentionKernel {
  /// Raw PTX of sm_90a.
  static let hopperInstructions = """
    // Keeps what is made of a number where it is made: ahead of all loops it would fill registers that the
    // warp group has not taken yet, and be spilt.
    __device__ inline void hold(int& x) { asm volatile("" : "+r"(x)); }
    struct alignas(128) TensorMap { unsigned long long words[16]; };
    __device__ inline void make_barrier(SharedAddress at, unsigned count) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" :: "r"(at), "r"(count) : "memory");
    }
    __device__ inline void publish_barriers() {
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __device__ inline void publish_copies() {
      asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    }
    __device__ inline void arrive(SharedAddress at) {
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(at) : "memory");
    }
    __device__ inline void expect_bytes(SharedAddress at, unsigned bytes) {
      asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
          :: "r"(at), "r"(bytes) : "memory");
    }
    __device__ inline void wait_for(SharedAddress at, unsigned parity) {
      asm volatile("{\\n.reg .pred done;\\nagain:\\n"
          "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\\n"
          "@!done bra again;\\n}" :: "r"(at), "r"(parity) : "memory");
    }
    __device__ inline void load_box(
        const TensorMap& map, SharedAddress to, SharedAddress full, int d, int token, int head,
        int page) {
      asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
          "[%0], [%1, {%3, %4, %5, %6}], [%2];"
          :: "r"(to), "l"(&map), "r"(full), "r"(d), "r"(token), "r"(head), "r"(page) : "memory");
    }
    __device__ inline void begin_products() {
      asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    }
    __device__ inline void end_products() {
      asm volatile("wgmma.commit_group.sync.aligned;\\nwgmma.wait_group.sync.aligned 0;"
          ::: "memory");
    }
    template <int count> __device__ inline void give_registers() {
      asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" :: "n"(count));
    }
    template <int count> __device__ inline void take_registers() {
      asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" :: "n"(count));
    }
    """

  /// A matrix in shared memory as wgmma is told of it: 128-byte swizzle.
  static let describeMatrix = """
    __device__ inline unsigned long long describe(SharedAddress at, unsigned leading, unsigned stride) {
      return (unsigned long long)((at & 0x3ffff) >> 4) | (unsigned long long)(leading >> 4) << 16
          | (unsigned long long)(stride >> 4) << 32 | 1ull << 62;
    }
    """
}
