// What is sm_90a's own in scalar C++: mbarriers, TMA boxes, wgmma.
//
// Addresses in shared memory are offsets; a tensor map holds base, strides in bytes of token, head and
// page, and the elements of a row.
#pragma once

struct alignas(128) TensorMap { unsigned long long words[16]; };

namespace emulation {

static PhaseBarrier& phase(SharedAddress at) { return current->block->phases[at]; }
static void complete(PhaseBarrier& barrier) {
  if (barrier.pending > 0 || barrier.bytes != 0) return;
  barrier.pending = barrier.count;
  barrier.parity ^= 1;
}
static uint16_t swizzled_half(unsigned at) {
  at ^= (at >> 7 & 7) << 4;
  uint16_t x;
  memcpy(&x, current->block->memory + at, 2);
  return x;
}
static unsigned start(unsigned long long matrix) { return (unsigned)(matrix & 0x3fff) << 4; }
static unsigned leading(unsigned long long matrix) { return (unsigned)(matrix >> 16 & 0x3fff) << 4; }
static unsigned stride(unsigned long long matrix) { return (unsigned)(matrix >> 32 & 0x3fff) << 4; }

// One warp's part of a product with element (row, k) of the first matrix given by a function.
template <typename A>
static void group_product(float* c, int columns, A a, bool accumulates, bool transposed,
                          unsigned long long b, float (*from)(uint16_t)) {
  const int lane = current->lane;
  for (int i = 0; i < columns / 2; ++i) {
    const int row = lane / 4 + i % 4 / 2 * 8, column = i / 4 * 8 + lane % 4 * 2 + i % 2;
    double sum = accumulates ? c[i] : 0.0;
    for (int k = 0; k < 16; ++k) {
      const unsigned at = transposed
          ? start(b) + column / 64 * leading(b) + k / 8 * stride(b) + k % 8 * 128 + column % 64 * 2
          : start(b) + column / 8 * stride(b) + column % 8 * 128 + k * 2;
      sum += (double)from(a(row, k)) * from(swizzled_half(at));
    }
    c[i] = (float)sum;
  }
}
static void group_multiply(float* c, int columns, unsigned long long a, unsigned long long b,
                           int accumulates, bool brain) {
  const int first = current->thread.x / 32 % 4 * 16;
  group_product(c, columns, [&](int row, int k) {
    row += first;
    return swizzled_half(start(a) + row / 8 * stride(a) + row % 8 * 128 + k * 2);
  }, accumulates, false, b, brain ? from_brain : from_half);
}
static void group_multiply(float* c, int columns, const unsigned (&a)[4], unsigned long long b,
                           int accumulates, bool brain) {
  Warp& warp = *current->warp;
  memcpy(warp.a[current->lane], a, sizeof a);
  synchronize_warp();
  group_product(c, columns, [&](int row, int k) {
    const unsigned x = warp.a[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
    return (uint16_t)(x >> k % 2 * 16);
  }, accumulates, true, b, brain ? from_brain : from_half);
  synchronize_warp();
}

}  // namespace emulation

static void make_barrier(SharedAddress at, unsigned count) {
  emulation::phase(at) = {(int)count, (int)count, 0, 0};
}
static void publish_barriers() {}
static void publish_copies() {}
static void arrive(SharedAddress at) {
  auto& barrier = emulation::phase(at);
  --barrier.pending;
  emulation::complete(barrier);
}
static void expect_bytes(SharedAddress at, unsigned bytes) {
  emulation::phase(at).bytes += (int)bytes;
  arrive(at);
}
static void wait_for(SharedAddress at, unsigned parity) {
  while ((unsigned)emulation::phase(at).parity == parity) emulation::yield();
}
static void load_box(const TensorMap& map, SharedAddress to, SharedAddress full, int d, int token,
                     int head, int page) {
  const unsigned char* from = (const unsigned char*)map.words[0] + token * map.words[1]
      + head * map.words[2] + page * map.words[3];
  for (int row = 0; row < 16; ++row)
    for (int i = 0; i < 64; ++i) {
      unsigned at = to + row * 128 + i * 2;
      at ^= (at >> 7 & 7) << 4;
      uint16_t x = 0;
      if (d + i < (int)map.words[4]) memcpy(&x, from + row * map.words[1] + (d + i) * 2, 2);
      memcpy(emulation::current->block->memory + at, &x, 2);
    }
  auto& barrier = emulation::phase(full);
  barrier.bytes -= 16 * 128;
  emulation::complete(barrier);
}
static void hold(int&) {}
static void begin_products() {}
static void end_products() {}
template <int count> static void give_registers() {}
template <int count> static void take_registers() {}
