#include "isa.h"

#include "attention_kernels.h"
#include "linear_kernels.h"

bool swa_isa_available(swa_isa isa) {
  switch (isa) {
    case SWA_ISA_PORTABLE:
      return true;
#if defined(__x86_64__)
    case SWA_ISA_AVX2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case SWA_ISA_AVX512:
      return swa_isa_available(SWA_ISA_AVX2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl");
    case SWA_ISA_AVX512BF16:
      return swa_isa_available(SWA_ISA_AVX512) && __builtin_cpu_supports("avx512bf16") &&
             __builtin_cpu_supports("avx512vnni");
#endif
    default:
      return false;
  }
}

extern const swa_attention_kernels swa_attention_kernels_portable;
extern const swa_linear_kernels swa_linear_kernels_portable;
#if defined(__x86_64__)
extern const swa_attention_kernels swa_attention_kernels_avx2, swa_attention_kernels_avx512,
    swa_attention_kernels_avx512bf16;
extern const swa_linear_kernels swa_linear_kernels_avx2, swa_linear_kernels_avx512,
    swa_linear_kernels_avx512bf16;
#endif

static const swa_attention_kernels *const attention[SWA_ISA_COUNT] = {
    &swa_attention_kernels_portable,
#if defined(__x86_64__)
    &swa_attention_kernels_avx2,
    &swa_attention_kernels_avx512,
    &swa_attention_kernels_avx512bf16,
#endif
};
static const swa_linear_kernels *const linear[SWA_ISA_COUNT] = {
    &swa_linear_kernels_portable,
#if defined(__x86_64__)
    &swa_linear_kernels_avx2,
    &swa_linear_kernels_avx512,
    &swa_linear_kernels_avx512bf16,
#endif
};

const swa_attention_kernels *swa_attention_kernels_for(swa_isa isa) {
  return swa_isa_available(isa) ? attention[isa] : 0;
}

const swa_attention_kernels *swa_best_attention_kernels(void) {
  int isa = SWA_ISA_COUNT - 1;
  while (isa > SWA_ISA_PORTABLE && !swa_isa_available((swa_isa)isa)) isa--;
  return attention[isa];
}

const swa_linear_kernels *swa_linear_kernels_for(swa_isa isa) {
  return swa_isa_available(isa) ? linear[isa] : 0;
}
