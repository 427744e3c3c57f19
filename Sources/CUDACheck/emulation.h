// A GPU in scalar C++, for the text of generated kernels: every thread of a grid is a fibre, and
// fibres change at barriers, warp-wide instructions and waits. Copies to shared memory happen when
// they are waited for and shared memory begins as NaN, so that a missing barrier shows.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

#define __device__
#define __global__
#define __restrict__
#define __noinline__ __attribute__((noinline))
#define __grid_constant__
#define __launch_bounds__(...)
#define SHARED_MEMORY(name) unsigned char* name = emulation::current->block->memory

struct uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };

namespace emulation {

struct Barrier {
  int arrived = 0;
  unsigned generation = 0;
};
struct Warp {
  Barrier barrier;
  float values[32];
  unsigned a[32][4], b[32][2];
  const unsigned char* rows[32];
};
struct PhaseBarrier { int count, pending, parity, bytes; };
struct Block {
  unsigned number;
  Barrier barrier;
  Barrier groups[8];
  std::map<unsigned, PhaseBarrier> phases;
  std::vector<Warp> warps;
  std::vector<unsigned char> storage;
  unsigned char* memory;
};
struct Copy { unsigned char* to; const void* from; bool valid; };
struct Index { unsigned x; };
struct Fibre {
  Index thread, blockNumber;
  Block* block;
  Warp* warp;
  int lane;
  bool done = false;
  std::vector<std::vector<Copy>> groups{1};
  std::unique_ptr<unsigned char[]> stack;
#if defined(__x86_64__)
  void* place;
#else
  ucontext_t context;
#endif
};

static Fibre* current;
static std::vector<std::unique_ptr<Fibre>> fibres;
static size_t turn;
static std::function<void()> body;
static Index grid, threads;

#if defined(__x86_64__)
// Saves what a call must keep and exchanges stacks.
__attribute__((naked, noinline)) static void exchange(void**, void*) {
  asm("pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
      "movq %rsp, (%rdi)\n movq %rsi, %rsp\n"
      "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret");
}
static void* home;
static void leave(Fibre* from, Fibre* to) {
  exchange(from ? &from->place : &home, to ? to->place : home);
}
#else
static ucontext_t home;
static void leave(Fibre* from, Fibre* to) {
  swapcontext(from ? &from->context : &home, to ? &to->context : &home);
}
#endif

// Lets the next fibre run; comes back when all others have had their turn.
static void yield() {
  Fibre* from = current;
  for (size_t tried = 0; tried < fibres.size(); ++tried) {
    turn = turn + 1 == fibres.size() ? 0 : turn + 1;
    Fibre* to = fibres[turn].get();
    if (to->done) continue;
    if (to != from) {
      current = to;
      leave(from, to);
    }
    return;
  }
  current = nullptr;
  leave(from, nullptr);
}

static void wait(Barrier& barrier, int count) {
  const unsigned generation = barrier.generation;
  if (++barrier.arrived == count) {
    barrier.arrived = 0;
    ++barrier.generation;
    return;
  }
  while (barrier.generation == generation) yield();
}

static void start() {
  body();
  current->done = true;
  for (;;) yield();
}

// Runs a kernel's body in every thread of a grid.
static void run(int blocks, int width, int bytes, std::function<void()> kernel) {
  body = std::move(kernel);
  grid.x = blocks;
  threads.x = width;
  std::vector<std::unique_ptr<Block>> all;
  fibres.clear();
  const size_t stackBytes = 64 << 10;
  for (int b = 0; b < blocks; ++b) {
    all.push_back(std::make_unique<Block>());
    Block* block = all.back().get();
    block->number = b;
    block->warps.resize((width + 31) / 32);
    block->storage.assign(bytes + 2048, 0xff);
    block->memory = (unsigned char*)(((uintptr_t)block->storage.data() + 1023) / 1024 * 1024);
    for (int t = 0; t < width; ++t) {
      auto fibre = std::make_unique<Fibre>();
      fibre->thread.x = t;
      fibre->blockNumber.x = b;
      fibre->block = block;
      fibre->warp = &block->warps[t / 32];
      fibre->lane = t % 32;
      fibre->stack.reset(new unsigned char[stackBytes]);
#if defined(__x86_64__)
      uintptr_t top = ((uintptr_t)fibre->stack.get() + stackBytes) / 16 * 16;
      void** place = (void**)top - 8;
      memset(place, 0, 64);
      place[6] = (void*)start;
      fibre->place = place;
#else
      getcontext(&fibre->context);
      fibre->context.uc_stack.ss_sp = fibre->stack.get();
      fibre->context.uc_stack.ss_size = stackBytes;
      makecontext(&fibre->context, start, 0);
#endif
      fibres.push_back(std::move(fibre));
    }
  }
  turn = 0;
  current = fibres[0].get();
  leave(nullptr, current);
}

// The sizes of a kernel's parameters.
template <typename... A>
static int parameters(void (*)(A...), int* sizes) {
  const int all[] = {(int)sizeof(A)..., 0};
  for (size_t i = 0; i < sizeof...(A); ++i) sizes[i] = all[i];
  return (int)sizeof...(A);
}
// Launches a kernel whose arguments are at the given addresses.
template <typename... A, size_t... I>
static void launch(void (*kernel)(A...), void** values, int blocks, int width, int bytes,
                   std::index_sequence<I...>) {
  run(blocks, width, bytes, [&] { kernel(*(std::remove_reference_t<A>*)values[I]...); });
}
template <typename... A>
static void launch(void (*kernel)(A...), void** values, int blocks, int width, int bytes) {
  launch(kernel, values, blocks, width, bytes, std::index_sequence_for<A...>());
}

static void synchronize_warp() { wait(current->warp->barrier, 32); }

static float from_half(uint16_t bits) {
  _Float16 x;
  memcpy(&x, &bits, 2);
  return (float)x;
}
static uint16_t to_half(float x) {
  const _Float16 y = (_Float16)x;
  uint16_t bits;
  memcpy(&bits, &y, 2);
  return bits;
}
static float from_brain(uint16_t bits) {
  const uint32_t word = (uint32_t)bits << 16;
  float x;
  memcpy(&x, &word, 4);
  return x;
}
static uint16_t to_brain(float x) {
  uint32_t word;
  memcpy(&word, &x, 4);
  if (x != x) return 0x7fff;
  return (uint16_t)((word + 0x7fff + (word >> 16 & 1)) >> 16);
}

// mma.sync.m16n8k16: fragments as PTX lays them out over the lanes.
static void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                     float (*from)(uint16_t)) {
  Warp& warp = *current->warp;
  const int lane = current->lane;
  memcpy(warp.a[lane], a, sizeof a);
  warp.b[lane][0] = b0;
  warp.b[lane][1] = b1;
  synchronize_warp();
  float result[4];
  for (int i = 0; i < 4; ++i) {
    const int row = lane / 4 + (i / 2) * 8, column = lane % 4 * 2 + i % 2;
    double sum = c[i];
    for (int k = 0; k < 16; ++k) {
      const unsigned x = warp.a[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
      const unsigned y = warp.b[column * 4 + k % 8 / 2][k / 8];
      sum += (double)from((uint16_t)(x >> k % 2 * 16)) * from((uint16_t)(y >> k % 2 * 16));
    }
    result[i] = (float)sum;
  }
  synchronize_warp();
  memcpy(c, result, sizeof c);
}

static void matrices(unsigned (&r)[4], unsigned at, bool transposed) {
  Warp& warp = *current->warp;
  const int lane = current->lane;
  warp.rows[lane] = current->block->memory + at;
  synchronize_warp();
  for (int j = 0; j < 4; ++j) {
    uint16_t pair[2];
    for (int h = 0; h < 2; ++h) {
      const int row = transposed ? lane % 4 * 2 + h : lane / 4;
      const int column = transposed ? lane / 4 : lane % 4 * 2 + h;
      memcpy(&pair[h], warp.rows[j * 8 + row] + column * 2, 2);
    }
    r[j] = pair[0] | (unsigned)pair[1] << 16;
  }
  synchronize_warp();
}

}  // namespace emulation

#define threadIdx (emulation::current->thread)
#define blockIdx (emulation::current->blockNumber)
#define blockDim (emulation::threads)
#define gridDim (emulation::grid)

typedef unsigned SharedAddress;
static SharedAddress shared_address(const void* at) {
  return (SharedAddress)((const unsigned char*)at - emulation::current->block->memory);
}
static void __syncthreads() {
  emulation::wait(emulation::current->block->barrier, (int)emulation::threads.x);
}
static int min(int a, int b) { return a < b ? a : b; }
static int max(int a, int b) { return a > b ? a : b; }
static void __syncwarp() { emulation::synchronize_warp(); }
static void __threadfence() {}
static void __nanosleep(unsigned) { emulation::yield(); }
static unsigned long long atomicAdd(unsigned long long* at, unsigned long long x) {
  const unsigned long long old = *at;
  *at += x;
  return old;
}
static unsigned long long load_volatile(const unsigned long long* at) {
  return *(const volatile unsigned long long*)at;
}
template <typename T> static T __ldg(const T* at) { return *at; }
template <typename T> static T __ldcg(const T* at) { return *at; }
static float __int_as_float(int bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
static int __float_as_int(float x) {
  int bits;
  memcpy(&bits, &x, 4);
  return bits;
}
static unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
static float __fadd_rn(float x, float y) { return x + y; }
static float __fsub_rn(float x, float y) { return x - y; }
static float __fmul_rn(float x, float y) { return x * y; }
static float rsqrtf(float x) { return 1.f / sqrtf(x); }
static float cospif(float x) { return (float)cos(M_PI * x); }
static float sinpif(float x) { return (float)sin(M_PI * x); }
static float __shfl_xor_sync(unsigned, float x, int mask) {
  emulation::Warp& warp = *emulation::current->warp;
  const int lane = emulation::current->lane;
  warp.values[lane] = x;
  emulation::synchronize_warp();
  const float y = warp.values[lane ^ mask];
  emulation::synchronize_warp();
  return y;
}
static float from_f16(unsigned x) { return emulation::from_half((uint16_t)x); }
static unsigned pack_f16(float low, float high) {
  return emulation::to_half(low) | (unsigned)emulation::to_half(high) << 16;
}
static unsigned pack_bf16(float low, float high) {
  return emulation::to_brain(low) | (unsigned)emulation::to_brain(high) << 16;
}
static void copy_async(SharedAddress to, const void* from, bool valid) {
  emulation::current->groups.back().push_back(
      {emulation::current->block->memory + to, from, valid});
}
static void commit_copies() { emulation::current->groups.emplace_back(); }
template <int pending> static void wait_copies() {
  auto& groups = emulation::current->groups;
  while (groups.size() > pending + 1) {
    for (const emulation::Copy& copy : groups.front()) {
      if (copy.valid) memcpy(copy.to, copy.from, 16);
      else memset(copy.to, 0, 16);
    }
    groups.erase(groups.begin());
  }
}
static void load_matrices(unsigned (&r)[4], SharedAddress at) {
  emulation::matrices(r, at, false);
}
static void load_matrices_transposed(unsigned (&r)[4], SharedAddress at) {
  emulation::matrices(r, at, true);
}
static void multiply_bf16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulation::multiply(c, a, b0, b1, emulation::from_brain);
}
static void multiply_f16(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  emulation::multiply(c, a, b0, b1, emulation::from_half);
}

// sm_90a: mbarriers, TMA boxes, wgmma. Addresses in shared memory are offsets; a tensor map holds
// base, strides in bytes of token, head and page, and the elements of a row.
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
static void begin_products() {}
static void end_products() {}
static void synchronize_group(int number) {
  emulation::wait(emulation::current->block->groups[number], 128);
}
template <int count> static void give_registers() {}
template <int count> static void take_registers() {}
