// The work of streams: copies, fillings, products and launches.
#include <stdlib.h>
#include <string.h>

#include "parts.h"

void stub_add(list *to, work w) {
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
  if (w->kind == LAUNCH) stub_launch(w);
}
void stub_flush(stream *s) {
  for (int i = 0; s && i < s->queue.count; i++) perform(&s->queue.items[i]);
  if (s) s->queue.count = 0;
}
void stub_give(stream *s, work w) { stub_add(s->capturing ? &s->captured : &s->queue, w); }
