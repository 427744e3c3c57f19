// A small vector vocabulary over clang's vector extensions. Included once per level, inside that
// level's target pragma, with SWA_LANES (floats per vector) defined by the level.
//
// Everything here is static and inlined: nothing may be merged by the linker with another level's
// copy, or an old processor would meet new instructions.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma clang fp contract(fast)

#define UNROLL _Pragma("clang loop unroll(full)")

#define SWA_INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(SWA_LANES * 4)));
typedef int32_t vi __attribute__((vector_size(SWA_LANES * 4)));
typedef uint32_t vu __attribute__((vector_size(SWA_LANES * 4)));
typedef uint16_t vh __attribute__((vector_size(SWA_LANES * 2)));  // 16-bit floats' bits
typedef uint8_t vb __attribute__((vector_size(SWA_LANES)));
typedef int8_t vsb __attribute__((vector_size(SWA_LANES)));

SWA_INLINE vf vf_load(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
SWA_INLINE void vf_store(float *p, vf v) { memcpy(p, &v, sizeof v); }
SWA_INLINE vf vf_set(float x) { return x - (vf){}; }
SWA_INLINE vi vi_set(int32_t x) { return x - (vi){}; }
SWA_INLINE vu vu_set(uint32_t x) { return x - (vu){}; }
SWA_INLINE vf vf_from_bits(vu x) { return (vf)x; }
SWA_INLINE vf vf_select(vi mask, vf yes, vf no) {
  return (vf)((mask & (vi)yes) | (~mask & (vi)no));
}
/// The larger of each pair; a NaN in either is not promised to survive.
SWA_INLINE vf vf_max(vf a, vf b) { return vf_select(a > b, a, b); }
SWA_INLINE vf vf_min(vf a, vf b) { return vf_select(a < b, a, b); }

SWA_INLINE float vf_sum(vf v) {
  float lanes[SWA_LANES];
  vf_store(lanes, v);
  for (int width = SWA_LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) lanes[i] += lanes[i + width];
  return lanes[0];
}

// 16-bit floats, by their bits.
SWA_INLINE vf vf_load_bf16(const uint16_t *p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}
SWA_INLINE vf vf_load_f16(const uint16_t *p) {
  vh h;
  memcpy(&h, p, sizeof h);
#if SWA_LEVEL_HAS_F16C
  typedef _Float16 vhalf __attribute__((vector_size(SWA_LANES * 2)));
  return __builtin_convertvector((vhalf)h, vf);
#else
  // Shifted into a float's place the exponent is too small by 112; the product repairs subnormals
  // with it. Infinity and NaN get the largest exponent back.
  vu bits = __builtin_convertvector(h, vu);
  vf magnitude = (vf)((bits & 0x7FFF) << 13) * 0x1p112f;
  vu special = (vu)((bits & 0x7C00) == 0x7C00) & 0x7F800000;
  return (vf)((vu)magnitude | special | ((bits & 0x8000) << 16));
#endif
}

/// e^x to about 1 ulp in float's whole range: 0 below −103.98, +∞ above 88.73, NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2; e^r by its Taylor polynomial (degree 7, remainder < 2^-30);
/// 2^n in two factors so that subnormal results and the upper end come out right.
SWA_INLINE vf vf_exp(vf x) {
  vf clamped = vf_min(vf_max(x, vf_set(-104.f)), vf_set(89.f));
  vf shifted = clamped * vf_set(0x1.715476p0f) + vf_set(0x1.8p23f);
  vi n = (vi)shifted - (vi)vf_set(0x1.8p23f);
  vf whole = shifted - vf_set(0x1.8p23f);
  vf r = clamped - whole * vf_set(0x1.62e400p-1f);
  r = r - whole * vf_set(0x1.7f7d1cp-20f);
  vf p = vf_set(0x1.a01a02p-13f);
  p = p * r + vf_set(0x1.6c16c2p-10f);
  p = p * r + vf_set(0x1.111112p-7f);
  p = p * r + vf_set(0x1.555556p-5f);
  p = p * r + vf_set(0x1.555556p-3f);
  p = p * r + vf_set(0x1p-1f);
  p = p * r + vf_set(0x1p0f);
  p = p * r + vf_set(0x1p0f);
  vi half = n >> 1;
  vf scale1 = (vf)((half + 127) << 23);
  vf scale2 = (vf)((n - half + 127) << 23);
  vf y = p * scale1 * scale2;
  return vf_select(x == x, y, x);
}

/// The larger of each pair; the second where either is NaN.
SWA_INLINE vf larger(vf a, vf b) {
#if SWA_LANES == 16
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif SWA_LANES == 8
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return vf_max(a, b);
#endif
}

/// The largest element of numbers.
SWA_INLINE float vf_largest(vf v) {
#if SWA_LANES == 16
  return _mm512_reduce_max_ps((__m512)v);
#else
  float lanes[SWA_LANES];
  vf_store(lanes, v);
  for (int width = SWA_LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++)
      lanes[i] = lanes[i + width] > lanes[i] ? lanes[i + width] : lanes[i];
  return lanes[0];
#endif
}

/// e^x for x ≤ 0, to about 1 ulp down to −87; smaller results are 0; NaN stays NaN.
///
/// x = n·ln 2 + r, |r| ≤ ln 2 / 2; e^r = 1 + r + r²·P(r) with P of degree 4 (a minimax fit, error
/// 3e-9 relative).
SWA_INLINE vf exp_of_negative(vf x) {
  vf lowest = vf_set(-87.f);
  vf shifted = larger(lowest, x) * vf_set(0x1.715476p0f) + vf_set(0x1.8p23f);
  vf whole = shifted - vf_set(0x1.8p23f);
  vf r = larger(lowest, x) - whole * vf_set(0x1.62e400p-1f);
  r = r - whole * vf_set(0x1.7f7d1cp-20f);
  vf p = vf_set(0x1.6a23e4p-10f);
  p = p * r + vf_set(0x1.123a2p-7f);
  p = p * r + vf_set(0x1.5558f2p-5f);
  p = p * r + vf_set(0x1.555492p-3f);
  p = p * r + vf_set(0x1.fffffcp-2f);
  p = p * r + vf_set(1);
  p = p * r + vf_set(1);
#if SWA_LANES == 16
  vf y = (vf)_mm512_scalef_ps((__m512)p, (__m512)whole);
#else
  // The low bits of `shifted` hold n; moved to the exponent they multiply by 2^n. Those of NaN would make
  // a number of it.
  vf y = (vf)((vi)p + ((vi)shifted << 23));
  y = vf_select(x == x, y, x);
#endif
  return vf_select(x < lowest, (vf){}, y);
}
