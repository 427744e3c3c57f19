// The linear kernels' additions to the vector vocabulary. Included once per level, after vector.h.

/// Vectors that hold a panel's 16 outputs.
#undef PANEL_VECTORS
#define PANEL_VECTORS (SWA_PANEL / SWA_LANES)

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
