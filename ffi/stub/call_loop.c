// How long inputs_set + run + outputs_get take when C makes the calls: median of N in nanoseconds.
// Usage: call_loop LIBRARY MODEL N; LITE3RL_DOUBLE=1 for the double.
#include "rknn_abi.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  void *library = dlopen(argv[1], RTLD_NOW);
  if (!library) return fprintf(stderr, "%s\n", dlerror()), 1;
  int (*init)(rknn_context *, void *, uint32_t, uint32_t, void *) = dlsym(library, "rknn_init");
  int (*set)(rknn_context, uint32_t, rknn_input *) = dlsym(library, "rknn_inputs_set");
  int (*run)(rknn_context, void *) = dlsym(library, "rknn_run");
  int (*get)(rknn_context, uint32_t, rknn_output *, void *) = dlsym(library, "rknn_outputs_get");
  int (*query)(rknn_context, int, void *, uint32_t) = dlsym(library, "rknn_query");
  rknn_context context = 0;
  rknn_tensor_attr in = {0}, out = {0};
  if (init(&context, argv[2], 0, 0, NULL)) return 1;
  if (query(context, INPUT_ATTR, &in, sizeof in) || query(context, OUTPUT_ATTR, &out, sizeof out))
    return 1;
  float *x = calloc(in.n_elems, 4), *y = calloc(out.n_elems, 4);
  rknn_input input = {.buf = x, .size = in.n_elems * 4, .type = FLOAT32, .fmt = NHWC};
  rknn_output output = {.want_float = 1, .is_prealloc = 1, .buf = y, .size = out.n_elems * 4};
  int count = atoi(argv[3]);
  int64_t *took = calloc(count, sizeof *took);
  for (int i = 0; i < count; i++) {
    int64_t started = now_ns();
    if (set(context, 1, &input) || run(context, NULL) || get(context, 1, &output, NULL)) return 1;
    took[i] = now_ns() - started;
  }
  qsort(took, count, sizeof *took, compare);
  printf("%lld\n", (long long)took[count / 2]);
  return 0;
}
