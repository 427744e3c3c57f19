#include <stdlib.h>
#include <string.h>

#include "parts.h"

// cuBLASLt: layouts of matrices, one algorithm, products of a transposed matrix.
typedef struct { int type; unsigned long long rows, columns; long long stride; } layout;

static int cublasLtCreate(void **h) { CALL(cublasLtCreate); *h = malloc(1); stub_alive++; return 0; }
static int cublasLtDestroy(void *h) { free(h); stub_alive--; return 0; }
static int cublasLtMatmulDescCreate(int **d, int compute, int scale) {
  *d = calloc(1, sizeof **d);
  stub_alive++;
  return compute == 68 && scale == 0 ? 0 : 7;
}
static int cublasLtMatmulDescSetAttribute(int *d, int what, const void *value, size_t n) {
  if (what != 3 || n != 4) return 7;
  memcpy(d, value, 4);
  return 0;
}
static int cublasLtMatmulDescDestroy(int *d) { free(d); stub_alive--; return 0; }
static int cublasLtMatrixLayoutCreate(layout **l, int type, unsigned long long rows,
                                      unsigned long long columns, long long stride) {
  CALL(cublasLtMatrixLayoutCreate);
  if ((long long)rows > stride) return 7;
  *l = malloc(sizeof **l);
  **l = (layout){type, rows, columns, stride};
  stub_alive++;
  return 0;
}
static int cublasLtMatrixLayoutDestroy(layout *l) { free(l); stub_alive--; return 0; }
static int cublasLtMatmulPreferenceCreate(void **p) { *p = malloc(1); stub_alive++; return 0; }
static int cublasLtMatmulPreferenceSetAttribute(void *p, int what, const void *value, size_t n) {
  (void)p;
  if (what >= 5 && what <= 8 && n == 4) {
    const unsigned bytes = *(const unsigned *)value;
    return bytes && bytes <= 256 && !(bytes & (bytes - 1)) ? 0 : 7;
  }
  return what == 1 && n == 8 ? 0 : 7;
}
static int cublasLtMatmulPreferenceDestroy(void *p) { free(p); stub_alive--; return 0; }
static int cublasLtMatmulAlgoGetHeuristic(void *h, int *d, layout *a, layout *b, layout *c,
                                          layout *e, void *p, int asked, unsigned char *result,
                                          int *found) {
  (void)h; (void)d; (void)c; (void)e; (void)p;
  CALL(cublasLtMatmulAlgoGetHeuristic);
  stub_say("cublasLtMatmulAlgoGetHeuristic %llu %llu %llu\n", b->columns, a->columns, a->rows);
  *found = asked > 0 && stub_told("no algorithm") == 0;
  memset(result, 7, 64);
  return 0;
}
static int cublasLtMatmul(void *h, int *d, const float *alpha, const void *a, layout *al,
                          const void *b, layout *bl, const float *beta, const void *c, layout *cl,
                          void *y, layout *yl, const unsigned char *algorithm, void *workspace,
                          size_t bytes, stream *s) {
  (void)h; (void)workspace; (void)bytes; (void)cl;
  CALL(cublasLtMatmul);
  if (*d != 1 || *alpha != 1 || c != y || algorithm[0] != 7 || al->rows != bl->rows
      || yl->rows != al->columns || yl->columns != bl->columns || al->type != bl->type
      || (yl->type != al->type && yl->type != 0))
    return 7;
  stub_say("cublasLtMatmul %llu %llu %llu\n", bl->columns, al->columns, al->rows);
  stub_give(s, (work){.kind = PRODUCT, .to = y, .weights = a, .x = b, .type = al->type, .output_type = yl->type,
                 .outputs = (int)yl->rows, .inputs = (int)al->rows, .columns = (int)bl->columns,
                 .weight_stride = al->stride, .x_stride = bl->stride, .y_stride = yl->stride,
                 .beta = *beta});
  return 0;
}

// NCCL: a group of one.
static int ncclCommInitAll(void **c, int count, const int *devices) {
  (void)devices;
  CALL(ncclCommInitAll);
  if (count != 1) return 4;
  *c = malloc(1);
  stub_alive++;
  return 0;
}
typedef struct { char bytes[128]; } nccl_id;
static int ncclGetUniqueId(nccl_id *id) {
  CALL(ncclGetUniqueId);
  for (int i = 0; i < 128; i++) id->bytes[i] = (char)i;
  return 0;
}
static int ncclCommInitRank(void **c, int count, nccl_id id, int rank) {
  CALL(ncclCommInitRank);
  for (int i = 0; i < 128; i++) if (id.bytes[i] != (char)i) return 4;
  if (count != 1 || rank != 0) return 4;
  *c = malloc(1);
  stub_alive++;
  return 0;
}
static int ncclCommDestroy(void *c) { free(c); stub_alive--; return 0; }
static int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *c,
                         stream *s) {
  (void)c;
  CALL(ncclAllReduce);
  if (op != 0) return 4;
  stub_say("ncclAllReduce %zu %d\n", count, type);
  // A sum over one.
  return from == to ? 0 : stub_copy(s, to, from, count * (type == 7 ? 4 : 2));
}

const symbol stub_libraries[] = {
    FUNCTION(cublasLtCreate), FUNCTION(cublasLtDestroy), FUNCTION(cublasLtMatmulDescCreate),
    FUNCTION(cublasLtMatmulDescSetAttribute), FUNCTION(cublasLtMatmulDescDestroy),
    FUNCTION(cublasLtMatrixLayoutCreate), FUNCTION(cublasLtMatrixLayoutDestroy),
    FUNCTION(cublasLtMatmulPreferenceCreate), FUNCTION(cublasLtMatmulPreferenceSetAttribute),
    FUNCTION(cublasLtMatmulPreferenceDestroy), FUNCTION(cublasLtMatmulAlgoGetHeuristic),
    FUNCTION(cublasLtMatmul), FUNCTION(ncclCommInitAll), FUNCTION(ncclGetUniqueId),
    FUNCTION(ncclCommInitRank), FUNCTION(ncclCommDestroy),
    FUNCTION(ncclAllReduce),
    {NULL, NULL},
};
