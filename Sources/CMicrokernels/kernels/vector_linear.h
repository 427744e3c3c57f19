// The linear kernels' additions to the vector vocabulary. Included once per level, after vector.h.

/// Vectors that hold a panel's 16 outputs.
#undef PANEL_VECTORS
#define PANEL_VECTORS (SWA_PANEL / SWA_LANES)

/// Whether the level multiplies 8-bit integers (see linear_round.inc).
#undef SWA_LEVEL_HAS_BYTES
#define SWA_LEVEL_HAS_BYTES (SWA_LANES >= 8)

SWA_INLINE vu vu_load(const void *p) {
  vu v;
  memcpy(&v, p, sizeof v);
  return v;
}
SWA_INLINE vf vf_from_int(vi x) { return __builtin_convertvector(x, vf); }
SWA_INLINE vf vf_load_u8(const uint8_t *p) {
  vb b;
  memcpy(&b, p, sizeof b);
  return vf_from_int(__builtin_convertvector(b, vi));
}
SWA_INLINE vf vf_load_s8(const uint8_t *p) {
  vsb b;
  memcpy(&b, p, sizeof b);
  return vf_from_int(__builtin_convertvector(b, vi));
}

/// Byte `byte` (0 to 3) of every word moved to its top, the rest cleared.
SWA_INLINE vu vu_byte_to_top(vu x, int byte) {
#define TOP(byte) -1, -1, -1, byte, -1, -1, -1, 4 + byte, -1, -1, -1, 8 + byte, -1, -1, -1, 12 + byte
#if SWA_LANES >= 8
  static const int8_t order[4][16] = {{TOP(0)}, {TOP(1)}, {TOP(2)}, {TOP(3)}};
  __m128i indices;
  memcpy(&indices, order[byte], sizeof indices);
#if SWA_LANES == 8
  return (vu)_mm256_shuffle_epi8((__m256i)x, _mm256_broadcastsi128_si256(indices));
#else
  return (vu)_mm512_shuffle_epi8((__m512i)x, _mm512_broadcast_i32x4(indices));
#endif
#else
  return (x << (uint32_t)(24 - 8 * byte)) & 0xFF000000u;
#endif
#undef TOP
}

/// The first `count` (fewer than SWA_LANES) elements; the others are zero.
SWA_INLINE vf vf_load_some(const float *p, size_t count) {
  float lanes[SWA_LANES] = {0};
  memcpy(lanes, p, count * sizeof(float));
  return vf_load(lanes);
}
SWA_INLINE void vf_store_some(float *p, vf v, size_t count) {
  float lanes[SWA_LANES];
  vf_store(lanes, v);
  memcpy(p, lanes, count * sizeof(float));
}
