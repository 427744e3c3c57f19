// Packing stored weights into panels, once at load. Plain C: its speed is that of memory.
#include "kernels/linear_format.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))

static format_facts facts(swa_format format) {
  switch (format) {
#define X(name) \
  case SWA_##name: \
    return FACTS_##name;
    FOR_QUANTISED_FORMATS(X)
#undef X
    default:
      return (format_facts){0};
  }
}

size_t swa_format_unit(swa_format format) {
  switch (format) {
    case SWA_F32:
    case SWA_F16:
      return 1;
    case SWA_BF16:
      return 2;
    default:
      return (size_t)facts(format).unit;
  }
}

size_t swa_format_group(swa_format format) { return (size_t)facts(format).group; }

size_t swa_format_unit_bytes(swa_format format) {
  switch (format) {
    case SWA_F32:
    case SWA_BF16:
      return 64;
    case SWA_F16:
      return 32;
    default:
      return (size_t)unit_bytes(facts(format));
  }
}

// One plane of `bits` bits of 32 codes; `codes` is shifted so that the plane's lowest bit is bit 0.
INLINE void pack_plane(const uint8_t codes[32], int shift, int bits, uint8_t *lines) {
  const int span = 4 * bits, fields = 8 / bits;
  const unsigned mask = (1u << bits) - 1;
  uint8_t bytes[32];
  for (int i = 0; i < span; i++) {
    unsigned byte = 0;
    for (int field = 0; field < fields; field++)
      byte |= ((unsigned)codes[field * span + i] >> shift & mask) << (bits * field);
    bytes[i] = (uint8_t)byte;
  }
  for (int line = 0; line < bits; line++) memcpy(lines + 64 * line, bytes + 4 * line, 4);
}

INLINE void pack_codes(const format_facts f, const uint8_t codes[32], uint8_t *lines) {
  pack_plane(codes, 0, f.low, lines);
  if (f.high) pack_plane(codes, f.low, f.high, lines + 64 * f.low);
}

// Legacy blocks of 32: [d] [m] [high bits] [codes].
INLINE void pack_block32(const format_facts f, const uint8_t *block, int lane, uint8_t *unit) {
  memcpy(unit + 2 * lane, block, 2);
  if (f.minima) memcpy(unit + 32 + 2 * lane, block + 2, 2);
  block += f.minima ? 4 : 2;
  uint8_t codes[32];
  if (f.low == 8) {
    memcpy(codes, block, 32);
  } else {
    uint32_t high = 0;
    if (f.high) {
      memcpy(&high, block, 4);
      block += 4;
    }
    for (int i = 0; i < 16; i++) {
      codes[i] = block[i] & 15;
      codes[16 + i] = block[i] >> 4;
    }
    if (f.high)
      for (int i = 0; i < 32; i++) codes[i] |= (high >> i & 1) << 4;
  }
  pack_codes(f, codes, unit + codes_at(f) + 4 * lane);
}

// Super-blocks of 256 as GGUF stores them: the parts of one, unpacked.
typedef struct super_block {
  uint8_t d[2], dmin[2];
  uint8_t scales[16], minima[16];
  uint8_t codes[256];
} super_block;

static void read_q2_K(const uint8_t *b, super_block *s) {
  memcpy(s->scales, b, 16);  // scale and minimum stay joined
  memcpy(s->d, b + 80, 2);
  memcpy(s->dmin, b + 82, 2);
  for (int half = 0; half < 2; half++)
    for (int field = 0; field < 4; field++)
      for (int i = 0; i < 32; i++)
        s->codes[128 * half + 32 * field + i] = b[16 + 32 * half + i] >> (2 * field) & 3;
}

static void read_q3_K(const uint8_t *b, super_block *s) {
  const uint8_t *high = b, *low = b + 32, *scales = b + 96;
  memcpy(s->d, b + 108, 2);
  for (int i = 0; i < 16; i++) {
    unsigned nibble = i < 8 ? scales[i] & 15 : scales[i - 8] >> 4;
    unsigned top = scales[8 + i % 4] >> (2 * (i / 4)) & 3;
    s->scales[i] = (uint8_t)((nibble | top << 4) - 32);
  }
  for (int half = 0; half < 2; half++)
    for (int field = 0; field < 4; field++)
      for (int i = 0; i < 32; i++) {
        unsigned code = low[32 * half + i] >> (2 * field) & 3;
        code |= (high[i] >> (4 * half + field) & 1) << 2;
        s->codes[128 * half + 32 * field + i] = (uint8_t)code;
      }
}

// The eight 6-bit scales and minima of Q4_K and Q5_K.
static void read_scales_and_minima(const uint8_t *b, super_block *s) {
  for (int i = 0; i < 4; i++) {
    s->scales[i] = b[i] & 63;
    s->minima[i] = b[i + 4] & 63;
    s->scales[i + 4] = (b[i + 8] & 15) | (b[i] >> 6) << 4;
    s->minima[i + 4] = b[i + 8] >> 4 | (b[i + 4] >> 6) << 4;
  }
}

static void read_q4_K(const uint8_t *b, super_block *s) {
  memcpy(s->d, b, 2);
  memcpy(s->dmin, b + 2, 2);
  read_scales_and_minima(b + 4, s);
  for (int pair = 0; pair < 4; pair++)
    for (int i = 0; i < 32; i++) {
      uint8_t byte = b[16 + 32 * pair + i];
      s->codes[64 * pair + i] = byte & 15;
      s->codes[64 * pair + 32 + i] = byte >> 4;
    }
}

static void read_q5_K(const uint8_t *b, super_block *s) {
  memcpy(s->d, b, 2);
  memcpy(s->dmin, b + 2, 2);
  read_scales_and_minima(b + 4, s);
  const uint8_t *high = b + 16, *low = b + 48;
  for (int pair = 0; pair < 4; pair++)
    for (int i = 0; i < 32; i++) {
      uint8_t byte = low[32 * pair + i];
      s->codes[64 * pair + i] = (byte & 15) | (high[i] >> (2 * pair) & 1) << 4;
      s->codes[64 * pair + 32 + i] = byte >> 4 | (high[i] >> (2 * pair + 1) & 1) << 4;
    }
}

static void read_q6_K(const uint8_t *b, super_block *s) {
  memcpy(s->scales, b + 192, 16);
  memcpy(s->d, b + 208, 2);
  for (int half = 0; half < 2; half++) {
    const uint8_t *low = b + 64 * half, *high = b + 128 + 32 * half;
    for (int quarter = 0; quarter < 4; quarter++)
      for (int i = 0; i < 32; i++) {
        unsigned code = low[32 * (quarter & 1) + i] >> (4 * (quarter >> 1)) & 15;
        code |= (high[i] >> (2 * quarter) & 3) << 4;
        s->codes[128 * half + 32 * quarter + i] = (uint8_t)code;
      }
  }
}

INLINE void pack_block256(const format_facts f, const super_block *s, int lane, uint8_t *unit) {
  memcpy(unit + 2 * lane, s->d, 2);
  if (f.minima) memcpy(unit + 32 + 2 * lane, s->dmin, 2);
  for (int group = 0; group < f.unit / f.group; group++) {
    unit[scales_at(f) + 16 * group + lane] = s->scales[group];
    if (f.minima && !f.joined) unit[minima_at(f) + 16 * group + lane] = s->minima[group];
  }
  for (int part = 0; part < 8; part++)
    pack_codes(f, s->codes + 32 * part, unit + codes_at(f) + part * codes_bytes(f) + 4 * lane);
}

// One stored block of one output into its lane of a unit.
static void pack_block(swa_format format, const uint8_t *block, int lane, uint8_t *unit) {
  super_block s;
  switch (format) {
#define BLOCK32(name) \
  case SWA_##name: \
    return pack_block32(FACTS_##name, block, lane, unit);
    BLOCK32(Q4_0)
    BLOCK32(Q4_1)
    BLOCK32(Q5_0)
    BLOCK32(Q5_1)
    BLOCK32(Q8_0)
#undef BLOCK32
#define BLOCK256(name, read) \
  case SWA_##name: \
    read(block, &s); \
    return pack_block256(FACTS_##name, &s, lane, unit);
    BLOCK256(Q2_K, read_q2_K)
    BLOCK256(Q3_K, read_q3_K)
    BLOCK256(Q4_K, read_q4_K)
    BLOCK256(Q5_K, read_q5_K)
    BLOCK256(Q6_K, read_q6_K)
#undef BLOCK256
    default:
      return;
  }
}

static size_t stored_block_bytes(swa_format format) {
  const format_facts f = facts(format);
  const size_t codes = (size_t)(f.unit * (f.low + f.high) / 8);
  switch (format) {
    case SWA_Q2_K:
      return codes + 16 + 4;
    case SWA_Q3_K:
      return codes + 12 + 2;
    case SWA_Q4_K:
    case SWA_Q5_K:
      return codes + 12 + 4;
    case SWA_Q6_K:
      return codes + 16 + 2;
    default:
      return codes + (f.minima ? 4 : 2);
  }
}

// Plain types: element k of output `lane` goes to [k / pair][lane][k mod pair].
INLINE void pack_plain(const uint8_t *rows, size_t row_bytes, size_t outputs, size_t inputs,
                       size_t size, size_t pair, uint8_t *panel) {
  if (outputs < SWA_PANEL || inputs % pair)
    memset(panel, 0, (inputs + pair - 1) / pair * pair * SWA_PANEL * size);
  for (size_t lane = 0; lane < outputs; lane++) {
    const uint8_t *row = rows + lane * row_bytes;
    for (size_t k = 0; k < inputs; k++)
      memcpy(panel + ((k / pair * SWA_PANEL + lane) * pair + k % pair) * size, row + k * size,
             size);
  }
}

void swa_pack_panel(swa_format format, const uint8_t *rows, size_t row_bytes, size_t outputs,
                    size_t inputs, uint8_t *panel) {
  switch (format) {
    case SWA_F32:
      return pack_plain(rows, row_bytes, outputs, inputs, 4, 1, panel);
    case SWA_F16:
      return pack_plain(rows, row_bytes, outputs, inputs, 2, 1, panel);
    case SWA_BF16:
      return pack_plain(rows, row_bytes, outputs, inputs, 2, 2, panel);
    default:
      break;
  }
  const size_t unit_size = swa_format_unit_bytes(format), block = stored_block_bytes(format);
  const size_t units = inputs / swa_format_unit(format);
  for (size_t u = 0; u < units; u++, panel += unit_size) {
    if (outputs < SWA_PANEL) memset(panel, 0, unit_size);
    for (size_t lane = 0; lane < outputs; lane++)
      pack_block(format, rows + lane * row_bytes + u * block, (int)lane, panel);
  }
}

// A half's bits, moved into a float's place and scaled, are its value. None overflows bfloat16.
static uint16_t bf16_of_half(uint16_t half) {
  uint32_t bits = (uint32_t)(half & 0x7FFF) << 13;
  if (bits < 0x0F800000) {
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    magnitude *= 0x1p112f;
    memcpy(&bits, &magnitude, 4);
    bits += 0x7FFF + (bits >> 16 & 1);
  } else {
    bits = bits & 0x7FFFFF ? 0x7FC00000 : 0x7F800000;  // NaN stays NaN
  }
  return (uint16_t)(bits >> 16 | (half & 0x8000));
}

void swa_pack_panel_of_halves(const uint8_t *rows, size_t row_bytes, size_t outputs, size_t inputs,
                              uint8_t *panel) {
  if (outputs < SWA_PANEL || inputs % 2) memset(panel, 0, (inputs + 1) / 2 * 64);
  for (size_t lane = 0; lane < outputs; lane++)
    for (size_t k = 0; k < inputs; k++) {
      uint16_t bits;
      memcpy(&bits, rows + lane * row_bytes + 2 * k, 2);
      bits = bf16_of_half(bits);
      memcpy(panel + ((k / 2 * SWA_PANEL + lane) * 2 + k % 2) * 2, &bits, 2);
    }
}
