// The facts of a quantised weight format that kernels are specialised by. See linear_formats.h.
#ifndef SWA_KERNELS_LINEAR_FORMAT_H
#define SWA_KERNELS_LINEAR_FORMAT_H

#include "linear_formats.h"

/// w = scale · (code − zero) + minimum (or − minimum in the two-level formats).
typedef struct format_facts {
  int low, high;      // bits of the two planes of codes
  int group;          // inputs that share a scale: 16 or 32
  int unit;           // inputs of a unit: 32, or 256 where scales have two levels
  int zero;           // 0 where codes are signed or there are minima
  int minima;         // whether groups have minima
  int joined;         // whether scale and minimum are nibbles of one byte
} format_facts;

#define FACTS_Q4_0 ((format_facts){4, 0, 32, 32, 8, 0, 0})
#define FACTS_Q4_1 ((format_facts){4, 0, 32, 32, 0, 1, 0})
#define FACTS_Q5_0 ((format_facts){4, 1, 32, 32, 16, 0, 0})
#define FACTS_Q5_1 ((format_facts){4, 1, 32, 32, 0, 1, 0})
#define FACTS_Q8_0 ((format_facts){8, 0, 32, 32, 0, 0, 0})
#define FACTS_Q2_K ((format_facts){2, 0, 16, 256, 0, 1, 1})
#define FACTS_Q3_K ((format_facts){2, 1, 16, 256, 4, 0, 0})
#define FACTS_Q4_K ((format_facts){4, 0, 32, 256, 0, 1, 0})
#define FACTS_Q5_K ((format_facts){4, 1, 32, 256, 0, 1, 0})
#define FACTS_Q6_K ((format_facts){4, 2, 16, 256, 32, 0, 0})

/// Calls X(name) for every quantised format.
#define FOR_QUANTISED_FORMATS(X) \
  X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K)

// Where the parts of a unit lie, in bytes from its start.
static inline __attribute__((always_inline)) int scales_at(const format_facts f) {
  return f.unit == 32 ? 0 : 32 + 32 * f.minima;
}
static inline __attribute__((always_inline)) int minima_at(const format_facts f) {
  return f.unit == 32 ? 32 : scales_at(f) + 16 * (f.unit / f.group);
}
static inline __attribute__((always_inline)) int codes_at(const format_facts f) {
  if (f.unit == 32) return 32 + 32 * f.minima;
  return minima_at(f) + (f.minima && !f.joined ? 16 * (f.unit / f.group) : 0);
}
/// Bytes of the codes of 32 inputs.
static inline __attribute__((always_inline)) int codes_bytes(const format_facts f) {
  return 64 * (f.low + f.high);
}
static inline __attribute__((always_inline)) int unit_bytes(const format_facts f) {
  return codes_at(f) + f.unit / 32 * codes_bytes(f);
}

#endif
