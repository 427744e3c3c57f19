// A GPU in scalar C++, for the text of generated kernels: every thread of a grid is a fibre, and
// fibres change at barriers, warp-wide instructions and waits. Copies to shared memory happen when
// they are waited for and shared memory begins as NaN, so that a missing barrier shows.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "emulation_fibres.h"

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
static void synchronize_group(int number, int threads) {
  emulation::wait(emulation::current->block->groups[number], threads);
}
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
static bool __any_sync(unsigned, bool x) {
  for (int mask = 16; mask > 0; mask /= 2) x |= __shfl_xor_sync(0xffffffffu, x, mask) != 0.f;
  return x;
}
static float exponential(float x) { return expf(x); }
static float logarithm(float x) { return logf(x); }
static float quotient(float x, float y) { return x / y; }
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

#include "emulation_hopper.h"
