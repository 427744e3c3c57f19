// Decodes one query for each of two requests over a paged cache, and checks the answer.
//
//     cc -I Sources/CAttention Examples/C/decode.c -L .build/release -lattention -lm -o decode
//     LD_LIBRARY_PATH=.build/release ./decode
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "attention.h"

enum { REQUESTS = 2, HEADS = 4, KV_HEADS = 2, D = 32, PAGE = 4, PAGES = 5 };

static void check(attention_status status) {
  if (status == ATTENTION_OK) return;
  fprintf(stderr, "%s\n", attention_last_error());
  exit(1);
}

// A row-major tensor of up to four axes.
static attention_tensor tensor(void *data, int32_t type, int32_t rank, const int64_t *shape) {
  attention_tensor t = {.data = data, .type = type, .rank = rank};
  int64_t stride = 1;
  for (int axis = rank - 1; axis >= 0; axis--) {
    t.shape[axis] = shape[axis];
    t.strides[axis] = stride;
    stride *= shape[axis];
  }
  return t;
}

int main(void) {
  static float q[REQUESTS][HEADS][D], k[PAGES][PAGE][KV_HEADS][D], v[PAGES][PAGE][KV_HEADS][D];
  static float out[REQUESTS][HEADS][D], lse[REQUESTS][HEADS];
  srand(1);
  for (size_t i = 0; i < sizeof q / 4; i++) ((float *)q)[i] = rand() / (float)RAND_MAX - 0.5f;
  for (size_t i = 0; i < sizeof k / 4; i++) {
    ((float *)k)[i] = rand() / (float)RAND_MAX - 0.5f;
    ((float *)v)[i] = rand() / (float)RAND_MAX - 0.5f;
  }

  // Request 0 has 10 tokens in pages 3, 0, 4; request 1 has 4 in page 1.
  int32_t query_offsets[] = {0, 1, 2}, page_offsets[] = {0, 3, 4}, pages[] = {3, 0, 4, 1};
  int32_t last[] = {2, 4};
  const attention_tensor offsets = tensor(query_offsets, ATTENTION_INT32, 1, (int64_t[]){3});
  const attention_tensor firsts = tensor(page_offsets, ATTENTION_INT32, 1, (int64_t[]){3});
  const attention_tensor list = tensor(pages, ATTENTION_INT32, 1, (int64_t[]){4});
  const attention_tensor lengths = tensor(last, ATTENTION_INT32, 1, (int64_t[]){2});
  const attention_batch batch = {
      .size = sizeof batch, .page_size = PAGE, .query_offsets = &offsets, .page_offsets = &firsts,
      .pages = &list, .last_page_lengths = &lengths};

  attention_device *device;
  attention_variant *variant;
  attention_plan *plan;
  const attention_plan_options options = {
      .size = sizeof options, .query_heads = HEADS, .kv_heads = KV_HEADS, .head_dimension = D};
  check(attention_device_create(0, &device));
  check(attention_variant_create("(variant capped (causal) (soft-cap 30))", &variant));
  check(attention_plan_create(device, variant, &options, &plan));
  check(attention_plan_update(plan, &batch));

  const int64_t pool[] = {PAGES, PAGE, KV_HEADS, D};
  const attention_tensor tq = tensor(q, ATTENTION_FLOAT32, 3, (int64_t[]){REQUESTS, HEADS, D});
  const attention_tensor tk = tensor(k, ATTENTION_FLOAT32, 4, pool);
  const attention_tensor tv = tensor(v, ATTENTION_FLOAT32, 4, pool);
  const attention_tensor to = tensor(out, ATTENTION_FLOAT32, 3, (int64_t[]){REQUESTS, HEADS, D});
  const attention_tensor tl = tensor(lse, ATTENTION_FLOAT32, 2, (int64_t[]){REQUESTS, HEADS});
  check(attention_plan_run(plan, &tq, &tk, &tv, NULL, NULL, &to, &tl));

  // The definition, in doubles.
  double worst = 0;
  for (int r = 0; r < REQUESTS; r++) {
    int count = PAGE * (page_offsets[r + 1] - page_offsets[r] - 1) + last[r];
    for (int h = 0; h < HEADS; h++) {
      double sum = 0, o[D] = {0};
      for (int t = 0; t < count; t++) {
        int page = pages[page_offsets[r] + t / PAGE], kv_head = h / (HEADS / KV_HEADS);
        double s = 0;
        for (int i = 0; i < D; i++) s += (double)q[r][h][i] * k[page][t % PAGE][kv_head][i];
        double weight = exp(30 * tanh(s / sqrt(D) / 30));
        sum += weight;
        for (int i = 0; i < D; i++) o[i] += weight * v[page][t % PAGE][kv_head][i];
      }
      for (int i = 0; i < D; i++) worst = fmax(worst, fabs(o[i] / sum - out[r][h][i]));
      worst = fmax(worst, fabs(log2(sum) - lse[r][h]));
    }
  }

  // A mistake has a message.
  const attention_tensor wrong = tensor(q, ATTENTION_FLOAT32, 2, (int64_t[]){REQUESTS, HEADS * D});
  attention_status status = attention_plan_run(plan, &wrong, &tk, &tv, NULL, NULL, &to, &tl);
  printf("error %d: %s\nlargest difference: %g\n", status, attention_last_error(), worst);
  attention_plan_destroy(plan);
  attention_variant_destroy(variant);
  attention_device_destroy(device);
  return status != ATTENTION_INVALID_ARGUMENT || !(worst < 1e-5);
}
