#include "mlp.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *what) {
  fprintf(stderr, "mlp: %s\n", what);
  exit(1);
}

static float *allocate(size_t count) {
  float *values = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64);
  if (!values) fail("no memory");
  return values;
}

static uint32_t take_u32(FILE *file) {
  uint32_t value;
  if (fread(&value, sizeof value, 1, file) != 1) fail("the file is short");
  return value;
}

static float *take_floats(FILE *file, size_t count) {
  float *values = allocate(count);
  if (fread(values, sizeof(float), count, file) != count) fail("the file is short");
  return values;
}

void mlp_open(struct mlp *mlp, const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) fail("the file cannot be opened");
  mlp->layers = take_u32(file);
  if (mlp->layers < 1 || mlp->layers > MLP_LAYERS_MAX) fail("no such number of layers");
  uint32_t size = mlp->observation_size = take_u32(file), widest = size;
  mlp->mean = take_floats(file, size), mlp->divisor = take_floats(file, size);
  for (uint32_t l = 0; l < mlp->layers; l++) {
    struct mlp_layer *layer = &mlp->layer[l];
    layer->inputs = take_u32(file), layer->outputs = take_u32(file);
    layer->weight = take_floats(file, (size_t)layer->inputs * layer->outputs);
    layer->bias = take_floats(file, layer->outputs);
    if (layer->outputs > widest) widest = layer->outputs;
  }
  fclose(file);
  mlp->action_size = mlp->layer[mlp->layers - 1].outputs;
  for (int i = 0; i < 2; i++) mlp->values[i] = allocate(widest);
}

static void run_layer(const struct mlp_layer *layer, const float *restrict in,
                      float *restrict out) {
  uint32_t outputs = layer->outputs;
  memcpy(out, layer->bias, sizeof(float) * outputs);
  for (uint32_t i = 0; i < layer->inputs; i++) {
    const float *restrict weight = layer->weight + (size_t)i * outputs;
    for (uint32_t o = 0; o < outputs; o++) out[o] += in[i] * weight[o];
  }
}

void mlp_infer(struct mlp *mlp, const float *observation, float *action) {
  float *in = mlp->values[0], *out = mlp->values[1];
  for (uint32_t i = 0; i < mlp->observation_size; i++) {
    in[i] = (observation[i] - mlp->mean[i]) / mlp->divisor[i];
  }
  for (uint32_t l = 0; l < mlp->layers; l++) {
    const struct mlp_layer *layer = &mlp->layer[l];
    run_layer(layer, in, out);
    if (l + 1 < mlp->layers) {
      for (uint32_t o = 0; o < layer->outputs; o++) out[o] = out[o] < 0 ? expm1f(out[o]) : out[o];
    }
    float *swap = in;
    in = out, out = swap;
  }
  memcpy(action, in, sizeof(float) * mlp->action_size);
}
