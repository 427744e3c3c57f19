#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parts.h"

typedef struct { stream *of; int timed; } event;
typedef struct { int number; } module;
typedef struct { char name[64]; int module, kernel, shared; } function;

static struct { char name[64]; int code, from, calls, hidden; } rules[4 * MOST];
static struct { char name[64]; int module, sizes[MOST], count; } kernels[64 * MOST];
static int rule_count, kernel_count, version, capability[2];
int stub_alive;
static size_t memory, used, sizes[4096];
static void *blocks[4096];
static char text[1 << 20];
static size_t text_length;
static stub_cuda_kernel on_launch;
static void *on_launch_context;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void stub_cuda_begin(void) { pthread_mutex_lock(&lock); }
void stub_cuda_end(void) { pthread_mutex_unlock(&lock); }

void stub_say(const char *format, ...) {
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
int stub_told(const char *name) {
  int i = rule(name);
  return ++rules[i].calls >= rules[i].from ? rules[i].code : 0;
}

void stub_cuda_reset(int number, int major, int minor, size_t bytes) {
  memset(rules, 0, sizeof rules);
  rule_count = kernel_count = stub_alive = 0;
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
void stub_launch(const work *w) {
  if (on_launch)
    on_launch(on_launch_context, w->module, w->name, (void **)w->arguments, w->blocks, w->threads,
              w->shared);
}
const char *stub_cuda_log(void) { return text; }
int stub_cuda_alive(void) { return stub_alive; }

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
  // Five multiprocessors with an H100's clocks, and as much of its bus as five have.
  switch (what) {
  case 75: *x = capability[0]; break;
  case 76: *x = capability[1]; break;
  case 16: *x = 5; break;
  case 13: *x = 1755000; break;
  case 36: *x = 2619000; break;
  case 37: *x = 192; break;
  default: *x = 0;
  }
  return 0;
}
static int cuDevicePrimaryCtxRetain(void **c, int d) {
  (void)d;
  CALL(cuDevicePrimaryCtxRetain);
  *c = text;
  stub_alive++;
  return 0;
}
static int cuDevicePrimaryCtxRelease_v2(int d) { (void)d; stub_alive--; return 0; }
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
  stub_alive++;
  *at = (unsigned long long)p;
  stub_say("cuMemAlloc %zu\n", n);
  return 0;
}
static int cuMemFree_v2(unsigned long long at) {
  for (int i = 0; i < 4096; i++)
    if (blocks[i] == (void *)at) { used -= sizes[i]; blocks[i] = NULL; break; }
  free((void *)at);
  stub_alive--;
  return 0;
}
static int cuMemAllocHost_v2(void **at, size_t n) {
  CALL(cuMemAllocHost);
  *at = calloc(1, n);
  stub_alive++;
  stub_say("cuMemAllocHost %zu\n", n);
  return *at ? 0 : 2;
}
static int cuMemFreeHost(void *at) { free(at); stub_alive--; return 0; }
static int cuStreamCreate(stream **s, unsigned f) {
  (void)f;
  CALL(cuStreamCreate);
  *s = calloc(1, sizeof **s);
  stub_alive++;
  return 0;
}
static int cuStreamDestroy_v2(stream *s) { stub_flush(s); free(s->queue.items); free(s); stub_alive--; return 0; }
static int cuStreamSynchronize(stream *s) {
  CALL(cuStreamSynchronize);
  stub_say("cuStreamSynchronize\n");
  if (s->capturing) return 900;
  stub_flush(s);
  return 0;
}
static int cuEventCreate(event **e, unsigned f) {
  *e = calloc(1, sizeof **e);
  (*e)->timed = f != 2;
  stub_alive++;
  return 0;
}
static int cuEventDestroy_v2(event *e) { free(e); stub_alive--; return 0; }
static int cuEventRecord(event *e, stream *s) { e->of = s; stub_say("cuEventRecord\n"); return 0; }
static int cuEventSynchronize(event *e) { stub_say("cuEventSynchronize\n"); stub_flush(e->of); return 0; }
static int cuStreamWaitEvent(stream *s, event *e, unsigned f) {
  (void)f;
  stub_say("cuStreamWaitEvent\n");
  if (e->of != s) stub_flush(e->of);
  return 0;
}
// Every stretch of work takes a millisecond; events without times have none.
static int cuEventElapsedTime(float *t, event *a, event *b) {
  *t = 1;
  return a->timed && b->timed ? 0 : 400;
}
int stub_copy(stream *s, void *to, const void *from, size_t n) {
  stub_give(s, (work){.kind = COPY, .to = to, .from = from, .bytes = n});
  return 0;
}
static int cuMemcpyHtoDAsync_v2(unsigned long long to, const void *from, size_t n, stream *s) {
  CALL(cuMemcpyHtoDAsync);
  stub_say("cuMemcpyHtoDAsync %zu\n", n);
  return stub_copy(s, (void *)to, from, n);
}
static int cuMemcpyDtoHAsync_v2(void *to, unsigned long long from, size_t n, stream *s) {
  CALL(cuMemcpyDtoHAsync);
  stub_say("cuMemcpyDtoHAsync %zu\n", n);
  return stub_copy(s, to, (void *)from, n);
}
static int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, size_t n, stream *s) {
  stub_say("cuMemcpyDtoDAsync %zu\n", n);
  return stub_copy(s, (void *)to, (void *)from, n);
}
static int cuMemsetD8Async(unsigned long long to, unsigned char byte, size_t n, stream *s) {
  stub_say("cuMemsetD8Async %zu\n", n);
  stub_give(s, (work){.kind = FILL, .to = (void *)to, .byte = byte, .bytes = n});
  return 0;
}
static int cuModuleLoadData(module **m, const char *image) {
  CALL(cuModuleLoadData);
  *m = malloc(sizeof **m);
  // An empty array has no address.
  (*m)->number = image && !strncmp(image, "stub ", 5) ? atoi(image + 5) : 0;
  stub_alive++;
  stub_say("cuModuleLoadData\n");
  return 0;
}
static int cuModuleUnload(module *m) { free(m); stub_alive--; return 0; }
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
  stub_say("cuFuncSetAttribute %s %d %d\n", f->name, what, value);
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
  stub_say("cuLaunchKernel %s %u %u %u\n", f->name, x, tx, shared);
  stub_give(s, w);
  return 0;
}
static int cuLaunchCooperativeKernel(function *f, unsigned x, unsigned y, unsigned z, unsigned tx,
                                     unsigned ty, unsigned tz, unsigned shared, stream *s,
                                     void **arguments) {
  stub_say("cuLaunchCooperativeKernel %s %u %u %u\n", f->name, x, tx, shared);
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
  stub_say("cuStreamBeginCapture\n");
  return 0;
}
static int cuStreamEndCapture(stream *s, list **g) {
  s->capturing = 0;
  stub_say("cuStreamEndCapture\n");
  CALL(cuStreamEndCapture);
  *g = malloc(sizeof **g);
  **g = s->captured;
  stub_alive++;
  return 0;
}
static int cuGraphInstantiateWithFlags(list **e, list *g, unsigned long long f) {
  (void)f;
  CALL(cuGraphInstantiate);
  *e = calloc(1, sizeof **e);
  for (int i = 0; i < g->count; i++) stub_add(*e, g->items[i]);
  stub_alive++;
  return 0;
}
static int cuGraphLaunch(list *e, stream *s) {
  CALL(cuGraphLaunch);
  stub_say("cuGraphLaunch %d\n", e->count);
  for (int i = 0; i < e->count; i++) stub_give(s, e->items[i]);
  return 0;
}
static int cuGraphDestroy(list *g) { free(g); stub_alive--; return 0; }
static int cuGraphExecDestroy(list *e) { free(e); stub_alive--; return 0; }
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

void *stub_cuda_symbol(const char *name) {
  static const symbol all[] = {
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
        };
  if (rules[rule(name)].hidden) return NULL;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!strcmp(all[i].name, name)) return all[i].function;
  for (const symbol *s = stub_libraries; s->name; s++)
    if (!strcmp(s->name, name)) return s->function;
  return NULL;
}
