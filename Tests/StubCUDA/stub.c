#include "StubCUDA.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

typedef struct {
  enum { COPY, FILL, LAUNCH, PRODUCT } kind;
  void *to;
  const void *from;
  size_t bytes;
  char name[64];
  int module;
  void *arguments[MOST];
  int count, blocks, threads, shared, byte;
  // y = xs · weightsᵀ, column-major as cuBLASLt has it.
  const void *weights, *x;
  int type, output_type, outputs, inputs, columns;
  long long weight_stride, x_stride, y_stride;
  float beta;
} work;
typedef struct { work *items; int count, room; } list;
typedef struct { list queue, captured; int capturing; } stream;
typedef struct { stream *of; int timed; } event;
typedef struct { int number; } module;
typedef struct { char name[64]; int module, kernel, shared; } function;

static struct { char name[64]; int code, from, calls, hidden; } rules[4 * MOST];
static struct { char name[64]; int module, sizes[MOST], count; } kernels[64 * MOST];
static int rule_count, kernel_count, alive, version, capability[2];
static size_t memory, used, sizes[4096];
static void *blocks[4096];
static char text[1 << 20];
static size_t text_length;
static stub_cuda_kernel on_launch;
static void *on_launch_context;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void stub_cuda_begin(void) { pthread_mutex_lock(&lock); }
void stub_cuda_end(void) { pthread_mutex_unlock(&lock); }

static void say(const char *format, ...) {
  va_list rest;
  va_start(rest, format);
  int n = vsnprintf(text + text_length, sizeof text - text_length, format, rest);
  va_end(rest);
  if (n > 0 && text_length + (size_t)n < sizeof text) text_length += (size_t)n;
}
static int rule(const char *name) {
  for (int i = 0; i < rule_count; i++)
    if (!strcmp(rules[i].name, name)) return i;
  if (rule_count == 4 * MOST) abort();
  snprintf(rules[rule_count].name, sizeof rules[0].name, "%s", name);
  return rule_count++;
}
// The error that a call is told to fail with.
static int told(const char *name) {
  int i = rule(name);
  return ++rules[i].calls >= rules[i].from ? rules[i].code : 0;
}
#define CALL(name) \
  do { int code = told(#name); if (code) { say("%s fails\n", #name); return code; } } while (0)

void stub_cuda_reset(int number, int major, int minor, size_t bytes) {
  memset(rules, 0, sizeof rules);
  rule_count = kernel_count = alive = 0;
  version = number;
  capability[0] = major;
  capability[1] = minor;
  memory = bytes;
  used = 0;
  memset(blocks, 0, sizeof blocks);
  text_length = 0;
  text[0] = 0;
  on_launch = NULL;
}
void stub_cuda_fail(const char *name, int code, int from) {
  int i = rule(name);
  rules[i].code = code;
  rules[i].from = from;
  rules[i].calls = 0;
}
void stub_cuda_hide(const char *name) { rules[rule(name)].hidden = 1; }
void stub_cuda_declare(int module, const char *name, const int *all, int count) {
  if (kernel_count == 64 * MOST || count > MOST) abort();
  kernels[kernel_count].module = module;
  snprintf(kernels[kernel_count].name, sizeof kernels[0].name, "%s", name);
  memcpy(kernels[kernel_count].sizes, all, (size_t)count * sizeof *all);
  kernels[kernel_count++].count = count;
}
void stub_cuda_on_launch(stub_cuda_kernel kernel, void *context) {
  on_launch = kernel;
  on_launch_context = context;
}
const char *stub_cuda_log(void) { return text; }
int stub_cuda_alive(void) { return alive; }

// Work is done when somebody waits for it, so that what is overwritten too early shows.
static void add(list *to, work w) {
  if (to->count == to->room) {
    to->room = to->room ? 2 * to->room : 16;
    to->items = realloc(to->items, (size_t)to->room * sizeof w);
    if (!to->items) abort();
  }
  to->items[to->count++] = w;
}
static float get(const void *p, long long i, int type) {
  float x;
  if (type == 0) return ((const float *)p)[i];
  if (type == 2) return (float)((const _Float16 *)p)[i];
  unsigned bits = (unsigned)((const unsigned short *)p)[i] << 16;
  memcpy(&x, &bits, 4);
  return x;
}
static void set(void *p, long long i, int type, float x) {
  if (type == 0) ((float *)p)[i] = x;
  if (type == 2) ((_Float16 *)p)[i] = (_Float16)x;
  if (type != 14) return;
  unsigned bits;
  memcpy(&bits, &x, 4);
  ((unsigned short *)p)[i] = (unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
static void multiply(const work *w) {
  for (int j = 0; j < w->columns; j++)
    for (int i = 0; i < w->outputs; i++) {
      float sum = w->beta == 0 ? 0 : w->beta * get(w->to, i + j * w->y_stride, w->output_type);
      for (int k = 0; k < w->inputs; k++)
        sum += get(w->weights, k + i * w->weight_stride, w->type)
            * get(w->x, k + j * w->x_stride, w->type);
      set(w->to, i + j * w->y_stride, w->output_type, sum);
    }
}
static void perform(const work *w) {
  if (w->kind == PRODUCT) multiply(w);
  if (w->kind == COPY) memcpy(w->to, w->from, w->bytes);
  if (w->kind == FILL) memset(w->to, w->byte, w->bytes);
  if (w->kind == LAUNCH && on_launch)
    on_launch(on_launch_context, w->module, w->name, (void **)w->arguments, w->blocks, w->threads,
              w->shared);
}
static void flush(stream *s) {
  for (int i = 0; s && i < s->queue.count; i++) perform(&s->queue.items[i]);
  if (s) s->queue.count = 0;
}
static void give(stream *s, work w) { add(s->capturing ? &s->captured : &s->queue, w); }

static int cuInit(unsigned flags) { (void)flags; CALL(cuInit); return 0; }
static int cuDriverGetVersion(int *v) { CALL(cuDriverGetVersion); *v = version; return 0; }
static int cuGetErrorName(int code, const char **name) {
  *name = code == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : code == 700 ? "CUDA_ERROR_ILLEGAL_ADDRESS" : NULL;
  return *name ? 0 : 1;
}
static int cuDeviceGetCount(int *n) { CALL(cuDeviceGetCount); *n = capability[0] ? 1 : 0; return 0; }
static int cuDeviceGet(int *d, int i) { *d = i; return 0; }
static int cuDeviceGetName(char *name, int n, int d) {
  (void)d;
  snprintf(name, (size_t)n, "Stub");
  return 0;
}
static int cuDeviceTotalMem_v2(size_t *n, int d) { (void)d; *n = memory; return 0; }
static int cuDeviceGetAttribute(int *x, int what, int d) {
  (void)d;
  *x = what == 75 ? capability[0] : what == 76 ? capability[1] : what == 16 ? 5 : 0;
  return 0;
}
static int cuDevicePrimaryCtxRetain(void **c, int d) {
  (void)d;
  CALL(cuDevicePrimaryCtxRetain);
  *c = text;
  alive++;
  return 0;
}
static int cuDevicePrimaryCtxRelease_v2(int d) { (void)d; alive--; return 0; }
static int cuCtxSetCurrent(void *c) { return c == text ? 0 : 201; }
static int cuMemGetInfo_v2(size_t *free, size_t *all) {
  *free = memory - used;
  *all = memory;
  return 0;
}
static int cuMemAlloc_v2(unsigned long long *at, size_t n) {
  CALL(cuMemAlloc);
  if (n > memory - used) return 2;
  void *p = NULL;
  if (posix_memalign(&p, 1024, (n + 1023) / 1024 * 1024)) return 2;
  memset(p, 0xff, n);  // NaN
  for (int i = 0; i < 4096; i++)
    if (!blocks[i]) { blocks[i] = p; sizes[i] = n; break; }
  used += n;
  alive++;
  *at = (unsigned long long)p;
  say("cuMemAlloc %zu\n", n);
  return 0;
}
static int cuMemFree_v2(unsigned long long at) {
  for (int i = 0; i < 4096; i++)
    if (blocks[i] == (void *)at) { used -= sizes[i]; blocks[i] = NULL; break; }
  free((void *)at);
  alive--;
  return 0;
}
static int cuMemAllocHost_v2(void **at, size_t n) {
  CALL(cuMemAllocHost);
  *at = calloc(1, n);
  alive++;
  say("cuMemAllocHost %zu\n", n);
  return *at ? 0 : 2;
}
static int cuMemFreeHost(void *at) { free(at); alive--; return 0; }
static int cuStreamCreate(stream **s, unsigned f) {
  (void)f;
  CALL(cuStreamCreate);
  *s = calloc(1, sizeof **s);
  alive++;
  return 0;
}
static int cuStreamDestroy_v2(stream *s) { flush(s); free(s->queue.items); free(s); alive--; return 0; }
static int cuStreamSynchronize(stream *s) {
  CALL(cuStreamSynchronize);
  say("cuStreamSynchronize\n");
  if (s->capturing) return 900;
  flush(s);
  return 0;
}
static int cuEventCreate(event **e, unsigned f) {
  *e = calloc(1, sizeof **e);
  (*e)->timed = f != 2;
  alive++;
  return 0;
}
static int cuEventDestroy_v2(event *e) { free(e); alive--; return 0; }
static int cuEventRecord(event *e, stream *s) { e->of = s; say("cuEventRecord\n"); return 0; }
static int cuEventSynchronize(event *e) { say("cuEventSynchronize\n"); flush(e->of); return 0; }
static int cuStreamWaitEvent(stream *s, event *e, unsigned f) {
  (void)f;
  say("cuStreamWaitEvent\n");
  if (e->of != s) flush(e->of);
  return 0;
}
// Every stretch of work takes a millisecond; events without times have none.
static int cuEventElapsedTime(float *t, event *a, event *b) {
  *t = 1;
  return a->timed && b->timed ? 0 : 400;
}
static int copy(stream *s, void *to, const void *from, size_t n) {
  give(s, (work){.kind = COPY, .to = to, .from = from, .bytes = n});
  return 0;
}
static int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t n, stream *s) {
  CALL(cuMemcpyHtoDAsync);
  say("cuMemcpyHtoDAsync %zu\n", n);
  return copy(s, (void *)to, from, n);
}
static int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t n, stream *s) {
  CALL(cuMemcpyDtoHAsync);
  say("cuMemcpyDtoHAsync %zu\n", n);
  return copy(s, to, (void *)from, n);
}
static int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t n, stream *s) {
  say("cuMemcpyDtoDAsync %zu\n", n);
  return copy(s, (void *)to, (void *)from, n);
}
static int cuMemsetD8Async(unsigned long long to, unsigned char byte, size_t n, stream *s) {
  say("cuMemsetD8Async %zu\n", n);
  give(s, (work){.kind = FILL, .to = (void *)to, .byte = byte, .bytes = n});
  return 0;
}
static int cuModuleLoadData(module **m, const char *image) {
  CALL(cuModuleLoadData);
  *m = malloc(sizeof **m);
  // An empty array has no address.
  (*m)->number = image && !strncmp(image, "stub ", 5) ? atoi(image + 5) : 0;
  alive++;
  say("cuModuleLoadData\n");
  return 0;
}
static int cuModuleUnload(module *m) { free(m); alive--; return 0; }
// Functions live as long as the process, as those of a driver do as long as their module.
static int cuModuleGetFunction(function **f, module *m, const char *name) {
  CALL(cuModuleGetFunction);
  *f = calloc(1, sizeof **f);
  snprintf((*f)->name, sizeof (*f)->name, "%s", name);
  (*f)->module = m->number;
  (*f)->kernel = -1;
  (*f)->shared = 48 << 10;
  for (int k = 0; k < kernel_count; k++)
    if (kernels[k].module == m->number && !strcmp(kernels[k].name, name)) (*f)->kernel = k;
  return 0;
}
static int cuFuncGetParamInfo(function *f, size_t i, size_t *offset, size_t *size) {
  if (f->kernel < 0) return 801;
  if (i >= (size_t)kernels[f->kernel].count) return 1;
  *offset = 0;
  *size = (size_t)kernels[f->kernel].sizes[i];
  return 0;
}
static int cuFuncSetAttribute(function *f, int what, int value) {
  say("cuFuncSetAttribute %s %d %d\n", f->name, what, value);
  if (what != 8 || value > 227 << 10) return 1;
  f->shared = value;
  return 0;
}
static int cuLaunchKernel(function *f, unsigned x, unsigned y, unsigned z, unsigned tx, unsigned ty,
                          unsigned tz, unsigned shared, stream *s, void **arguments, void **extra) {
  (void)y; (void)z; (void)ty; (void)tz; (void)extra;
  CALL(cuLaunchKernel);
  if (x == 0 || tx == 0 || tx > 1024 || (int)shared > f->shared) return 1;
  work w = {.kind = LAUNCH, .module = f->module, .blocks = (int)x, .threads = (int)tx,
            .shared = (int)shared};
  snprintf(w.name, sizeof w.name, "%s", f->name);
  w.count = f->kernel < 0 ? 0 : kernels[f->kernel].count;
  for (int i = 0; i < w.count; i++) {
    // Arguments are read now, whenever the launch runs.
    const size_t bytes = (size_t)kernels[f->kernel].sizes[i];
    if (posix_memalign(&w.arguments[i], 128, bytes + 128)) return 2;
    memcpy(w.arguments[i], arguments[i], bytes);
  }
  say("cuLaunchKernel %s %u %u %u\n", f->name, x, tx, shared);
  give(s, w);
  return 0;
}
static int cuLaunchCooperativeKernel(function *f, unsigned x, unsigned y, unsigned z, unsigned tx,
                                     unsigned ty, unsigned tz, unsigned shared, stream *s,
                                     void **arguments) {
  say("cuLaunchCooperativeKernel %s %u %u %u\n", f->name, x, tx, shared);
  if (x > 5) return 720;
  const size_t end = text_length;
  const int code = cuLaunchKernel(f, x, y, z, tx, ty, tz, shared, s, arguments, NULL);
  // One call, one line.
  text[text_length = end] = 0;
  return code;
}
static int cuStreamBeginCapture_v2(stream *s, int mode) {
  (void)mode;
  CALL(cuStreamBeginCapture);
  s->capturing = 1;
  memset(&s->captured, 0, sizeof s->captured);
  say("cuStreamBeginCapture\n");
  return 0;
}
static int cuStreamEndCapture(stream *s, list **g) {
  s->capturing = 0;
  say("cuStreamEndCapture\n");
  CALL(cuStreamEndCapture);
  *g = malloc(sizeof **g);
  **g = s->captured;
  alive++;
  return 0;
}
static int cuGraphInstantiateWithFlags(list **e, list *g, unsigned long long f) {
  (void)f;
  CALL(cuGraphInstantiate);
  *e = calloc(1, sizeof **e);
  for (int i = 0; i < g->count; i++) add(*e, g->items[i]);
  alive++;
  return 0;
}
static int cuGraphLaunch(list *e, stream *s) {
  CALL(cuGraphLaunch);
  say("cuGraphLaunch %d\n", e->count);
  for (int i = 0; i < e->count; i++) give(s, e->items[i]);
  return 0;
}
static int cuGraphDestroy(list *g) { free(g); alive--; return 0; }
static int cuGraphExecDestroy(list *e) { free(e); alive--; return 0; }
// As the emulation of kernels reads a map: base, strides, the elements of a row.
static int cuTensorMapEncodeTiled(void *map, int type, unsigned rank, unsigned long long base,
                                  const unsigned long long *extents,
                                  const unsigned long long *strides, const unsigned *box,
                                  const unsigned *steps, int interleave, int swizzle, int promotion,
                                  int fill) {
  CALL(cuTensorMapEncodeTiled);
  // What the driver's manual asks for.
  if ((size_t)map % 64 || (type != 6 && type != 9) || rank != 4 || base % 16 || interleave
      || swizzle != 3 || box[0] * 2 > 128 || promotion > 3 || fill)
    return 1;
  for (unsigned i = 0; i < rank; i++)
    if (!extents[i] || extents[i] > 1ull << 32 || box[i] < 1 || box[i] > 256 || steps[i] != 1) return 1;
  for (unsigned i = 0; i + 1 < rank; i++)
    if (strides[i] % 16 || strides[i] >= 1ull << 40) return 1;
  unsigned long long words[16] = {base, strides[0], strides[1], strides[2], extents[0]};
  memcpy(map, words, sizeof words);
  return 0;
}

// cuBLASLt: layouts of matrices, one algorithm, products of a transposed matrix.
typedef struct { int type; unsigned long long rows, columns; long long stride; } layout;

static int cublasLtCreate(void **h) { CALL(cublasLtCreate); *h = malloc(1); alive++; return 0; }
static int cublasLtDestroy(void *h) { free(h); alive--; return 0; }
static int cublasLtMatmulDescCreate(int **d, int compute, int scale) {
  *d = calloc(1, sizeof **d);
  alive++;
  return compute == 68 && scale == 0 ? 0 : 7;
}
static int cublasLtMatmulDescSetAttribute(int *d, int what, const void *value, size_t n) {
  if (what != 3 || n != 4) return 7;
  memcpy(d, value, 4);
  return 0;
}
static int cublasLtMatmulDescDestroy(int *d) { free(d); alive--; return 0; }
static int cublasLtMatrixLayoutCreate(layout **l, int type, unsigned long long rows,
                                      unsigned long long columns, long long stride) {
  CALL(cublasLtMatrixLayoutCreate);
  if ((long long)rows > stride) return 7;
  *l = malloc(sizeof **l);
  **l = (layout){type, rows, columns, stride};
  alive++;
  return 0;
}
static int cublasLtMatrixLayoutDestroy(layout *l) { free(l); alive--; return 0; }
static int cublasLtMatmulPreferenceCreate(void **p) { *p = malloc(1); alive++; return 0; }
static int cublasLtMatmulPreferenceSetAttribute(void *p, int what, const void *value, size_t n) {
  (void)p;
  if (what >= 5 && what <= 8 && n == 4) {
    const unsigned bytes = *(const unsigned *)value;
    return bytes && bytes <= 256 && !(bytes & (bytes - 1)) ? 0 : 7;
  }
  return what == 1 && n == 8 ? 0 : 7;
}
static int cublasLtMatmulPreferenceDestroy(void *p) { free(p); alive--; return 0; }
static int cublasLtMatmulAlgoGetHeuristic(void *h, int *d, layout *a, layout *b, layout *c,
                                          layout *e, void *p, int asked, unsigned char *result,
                                          int *found) {
  (void)h; (void)d; (void)c; (void)e; (void)p;
  CALL(cublasLtMatmulAlgoGetHeuristic);
  say("cublasLtMatmulAlgoGetHeuristic %llu %llu %llu\n", b->columns, a->columns, a->rows);
  *found = asked > 0 && told("no algorithm") == 0;
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
  say("cublasLtMatmul %llu %llu %llu\n", bl->columns, al->columns, al->rows);
  give(s, (work){.kind = PRODUCT, .to = y, .weights = a, .x = b, .type = al->type, .output_type = yl->type,
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
  alive++;
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
  alive++;
  return 0;
}
static int ncclCommDestroy(void *c) { free(c); alive--; return 0; }
static int ncclAllReduce(const void *from, void *to, size_t count, int type, int op, void *c,
                         stream *s) {
  (void)c;
  CALL(ncclAllReduce);
  if (op != 0) return 4;
  say("ncclAllReduce %zu %d\n", count, type);
  // A sum over one.
  return from == to ? 0 : copy(s, to, from, count * (type == 7 ? 4 : 2));
}

#define FUNCTION(name) {#name, (void *)name}
void *stub_cuda_symbol(const char *name) {
  static const struct { const char *name; void *function; } all[] = {
      FUNCTION(cuInit), FUNCTION(cuDriverGetVersion), FUNCTION(cuGetErrorName),
      FUNCTION(cuDeviceGetCount), FUNCTION(cuDeviceGet), FUNCTION(cuDeviceGetName),
      FUNCTION(cuDeviceTotalMem_v2), FUNCTION(cuDeviceGetAttribute),
      FUNCTION(cuDevicePrimaryCtxRetain), FUNCTION(cuDevicePrimaryCtxRelease_v2),
      FUNCTION(cuCtxSetCurrent), FUNCTION(cuMemGetInfo_v2), FUNCTION(cuMemAlloc_v2),
      FUNCTION(cuMemFree_v2), FUNCTION(cuMemAllocHost_v2), FUNCTION(cuMemFreeHost),
      FUNCTION(cuStreamCreate), FUNCTION(cuStreamDestroy_v2), FUNCTION(cuStreamSynchronize),
      FUNCTION(cuStreamWaitEvent), FUNCTION(cuEventCreate), FUNCTION(cuEventDestroy_v2),
      FUNCTION(cuEventRecord), FUNCTION(cuEventSynchronize), FUNCTION(cuEventElapsedTime),
      FUNCTION(cuMemcpyHtoDAsync_v2), FUNCTION(cuMemcpyDtoHAsync_v2),
      FUNCTION(cuMemcpyDtoDAsync_v2), FUNCTION(cuMemsetD8Async), FUNCTION(cuModuleLoadData),
      FUNCTION(cuModuleUnload), FUNCTION(cuModuleGetFunction), FUNCTION(cuFuncSetAttribute),
      FUNCTION(cuFuncGetParamInfo),
      FUNCTION(cuLaunchKernel), FUNCTION(cuLaunchCooperativeKernel), FUNCTION(cuStreamBeginCapture_v2), FUNCTION(cuStreamEndCapture),
      FUNCTION(cuGraphInstantiateWithFlags), FUNCTION(cuGraphLaunch), FUNCTION(cuGraphDestroy),
      FUNCTION(cuGraphExecDestroy), FUNCTION(cuTensorMapEncodeTiled),
      FUNCTION(cublasLtCreate), FUNCTION(cublasLtDestroy), FUNCTION(cublasLtMatmulDescCreate),
      FUNCTION(cublasLtMatmulDescSetAttribute), FUNCTION(cublasLtMatmulDescDestroy),
      FUNCTION(cublasLtMatrixLayoutCreate), FUNCTION(cublasLtMatrixLayoutDestroy),
      FUNCTION(cublasLtMatmulPreferenceCreate), FUNCTION(cublasLtMatmulPreferenceSetAttribute),
      FUNCTION(cublasLtMatmulPreferenceDestroy), FUNCTION(cublasLtMatmulAlgoGetHeuristic),
      FUNCTION(cublasLtMatmul), FUNCTION(ncclCommInitAll), FUNCTION(ncclGetUniqueId),
      FUNCTION(ncclCommInitRank), FUNCTION(ncclCommDestroy),
      FUNCTION(ncclAllReduce),
  };
  if (rules[rule(name)].hidden) return NULL;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!strcmp(all[i].name, name)) return all[i].function;
  return NULL;
}
