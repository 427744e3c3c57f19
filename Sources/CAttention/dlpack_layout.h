// The memory layout of DLPack's structures (dmlc.github.io/dlpack, version 0.x), under names of
// our own so that a program may include the original header as well.
#ifndef ATTENTION_DLPACK_LAYOUT_H
#define ATTENTION_DLPACK_LAYOUT_H

#include <stdint.h>

typedef struct attention_dl_tensor {
  void *data;
  int32_t device_type, device_id;
  int32_t rank;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape;
  int64_t *strides;
  uint64_t byte_offset;
} attention_dl_tensor;

typedef struct attention_dl_managed {
  attention_dl_tensor tensor;
  void *context;
  void (*deleter)(struct attention_dl_managed *self);
} attention_dl_managed;

#endif
