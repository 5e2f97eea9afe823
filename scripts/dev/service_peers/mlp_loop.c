// How long one inference of mlp.c takes: the median of N on one observation, in nanoseconds.
// Usage: mlp_loop FILE N
#include "mlp.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000L + now.tv_nsec;
}

static int compare(const void *a, const void *b) {
  long x = *(const long *)a, y = *(const long *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct mlp mlp;
  mlp_open(&mlp, argv[1]);
  int count = atoi(argv[2]);
  float *observation = calloc(mlp.observation_size, sizeof *observation);
  float *action = calloc(mlp.action_size, sizeof *action);
  long *took = calloc(count, sizeof *took);
  if (count < 1 || !observation || !action || !took) return 1;
  for (uint32_t i = 0; i < mlp.observation_size; i++) observation[i] = 0.1f * i - 2;
  for (int i = 0; i < count; i++) {
    long started = now_ns();
    mlp_infer(&mlp, observation, action);
    took[i] = now_ns() - started;
  }
  qsort(took, count, sizeof *took, compare);
  printf("%ld\n", took[count / 2]);
  return 0;
}
