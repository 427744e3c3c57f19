// What the parts of the stub have in common.
#pragma once
#include <stddef.h>

#include "StubCUDA.h"

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

// Things that have been made and not given back.
extern int stub_alive;

// Writes a call down.
void stub_say(const char *format, ...);
// The error that a call is told to fail with.
int stub_told(const char *name);
#define CALL(name) \
  do { int code = stub_told(#name); if (code) { stub_say("%s fails\n", #name); return code; } } while (0)

// Work is done when somebody waits for it, so that what is overwritten too early shows.
void stub_give(stream *s, work w);
void stub_add(list *to, work w);
void stub_flush(stream *s);
int stub_copy(stream *s, void *to, const void *from, size_t n);
// Does a launch.
void stub_launch(const work *w);

// A function by its name.
typedef struct { const char *name; void *function; } symbol;
#define FUNCTION(name) {#name, (void *)name}
// Those of cuBLASLt and NCCL, up to one without a name.
extern const symbol stub_libraries[];
