// The network of the double: read from a payload, computed as the NPU does to first order. Sums
// are in double precision and in a fixed order, so that every machine gives the same numbers.
#ifndef LITE3RL_NETWORK_H
#define LITE3RL_NETWORK_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH_MAX = 65536, LAYERS_MAX = 64, TENSORS_MAX = 3, NAME_BYTES = 64 };
enum { ROUND_NONE, ROUND_HALF, ROUND_INT8 };
enum { DENSE, LSTM };
enum { LINEAR, ELU, RELU, TANH, SIGMOID };

typedef struct {
  uint32_t kind;
  float scale;
  int32_t zero;
} rounding;

typedef struct {
  char name[NAME_BYTES];
  uint32_t n_dims, dims[3], count;
  rounding round;
  float *values;
} tensor;

typedef struct {
  uint32_t kind, inputs, outputs, activation;
  rounding sum, result;
  const float *weight, *recurrent, *bias;
} layer;

typedef struct {
  uint32_t n_inputs, n_outputs, n_layers;
  tensor in[TENSORS_MAX], out[TENSORS_MAX];
  layer layers[LAYERS_MAX];
  float *x, *y, *gates;
} network;

// To the nearest float16, ties to even; from 65520 on infinity.
static float to_half(float x) {
  float size = fabsf(x);
  if (!(size < 65520)) return x != x ? x : copysignf(INFINITY, x);
  if (size < 6.103515625e-5f) return copysignf((size + 0.75f) - 0.75f, x);  // ulp 2^-24
  uint32_t bits;
  memcpy(&bits, &x, 4);
  bits += 0xfff + ((bits >> 13) & 1);
  bits &= ~0x1fffu;
  memcpy(&x, &bits, 4);
  return x;
}

static int8_t saturate(float x, rounding r) {
  float q = nearbyintf(x / r.scale) + (float)r.zero;
  return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}

static float apply(rounding r, float x) {
  if (r.kind == ROUND_HALF) return to_half(x);
  return r.kind == ROUND_INT8 ? r.scale * (float)(saturate(x, r) - r.zero) : x;
}

static double dot(const float *a, const float *b, uint32_t n) {
  double s[4] = {0};
  uint32_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (int k = 0; k < 4; k++) s[k] += (double)a[i + k] * b[i + k];
  for (; i < n; i++) s[0] += (double)a[i] * b[i];
  return (s[0] + s[1]) + (s[2] + s[3]);
}

static float activate(uint32_t activation, float x) {
  switch (activation) {
  case ELU: return x > 0 ? x : expm1f(x);
  case RELU: return x > 0 ? x : 0;
  case TANH: return tanhf(x);
  case SIGMOID: return 1 / (1 + expf(-x));
  }
  return x;
}

static void run_dense(const layer *l, const float *x, float *y) {
  for (uint32_t o = 0; o < l->outputs; o++) {
    double sum = l->bias[o] + dot(l->weight + (size_t)o * l->inputs, x, l->inputs);
    y[o] = apply(l->result, activate(l->activation, apply(l->sum, (float)sum)));
  }
}

// Gates i, f, g, o, as torch orders them; h and c are the inputs and outputs 1 and 2.
static void run_lstm(network *n, const layer *l, const float *x, float *y) {
  uint32_t size = l->outputs;
  const float *h = n->in[1].values, *c = n->in[2].values;
  for (uint32_t g = 0; g < 4 * size; g++) {
    double sum = l->bias[g] + dot(l->weight + (size_t)g * l->inputs, x, l->inputs);
    sum += dot(l->recurrent + (size_t)g * size, h, size);
    n->gates[g] = activate(g / size == 2 ? TANH : SIGMOID, apply(l->sum, (float)sum));
  }
  for (uint32_t i = 0; i < size; i++) {
    const float *g = n->gates + i;
    float cell = apply(l->result, g[size] * c[i] + g[0] * g[2 * size]);
    n->out[2].values[i] = cell;
    n->out[1].values[i] = y[i] = apply(l->result, g[3 * size] * tanhf(cell));
  }
}

// Inputs lie rounded in in[].values.
static void run_network(network *n) {
  const float *x = n->in[0].values;
  float *y = n->x, *other = n->y;
  for (uint32_t i = 0; i < n->n_layers; i++) {
    const layer *l = n->layers + i;
    l->kind == LSTM ? run_lstm(n, l, x, y) : run_dense(l, x, y);
    x = y;
    y = other;
    other = (float *)x;
  }
  memcpy(n->out[0].values, x, n->out[0].count * sizeof(float));
}

typedef struct {
  const uint8_t *at, *end;
  int broken;
} reader;

static const void *take(reader *r, uint64_t bytes) {
  static const uint8_t nothing[NAME_BYTES];
  if (r->broken || bytes > (uint64_t)(r->end - r->at)) {
    r->broken = 1;
    return nothing;
  }
  r->at += bytes;
  return r->at - bytes;
}

static uint32_t take_word(reader *r) {
  uint32_t word;
  memcpy(&word, take(r, 4), 4);
  return word;
}

static rounding take_rounding(reader *r) {
  rounding found;
  memcpy(&found, take(r, 12), 12);
  return found;
}

static const float *take_floats(reader *r, uint64_t count) {
  const void *from = take(r, 4 * count);
  if (r->broken) return NULL;
  return memcpy(malloc(4 * count + 4), from, 4 * count);
}

static void take_tensor(reader *r, tensor *t) {
  memcpy(t->name, take(r, NAME_BYTES), NAME_BYTES);
  t->name[NAME_BYTES - 1] = 0;
  t->n_dims = take_word(r);
  for (int i = 0; i < 3; i++) t->dims[i] = take_word(r);
  t->round = take_rounding(r);
  if (t->n_dims < 1 || t->n_dims > 3) r->broken = 1;
  t->count = 1;
  for (uint32_t i = 0; i < t->n_dims && !r->broken; i++) {
    if (t->dims[i] < 1 || t->dims[i] > WIDTH_MAX) r->broken = 1;
    else t->count *= t->dims[i];
  }
  if (t->count > WIDTH_MAX) r->broken = 1;
  if (!r->broken) t->values = calloc(t->count, sizeof(float));
}

static void take_layer(reader *r, layer *l) {
  l->kind = take_word(r);
  l->inputs = take_word(r);
  l->outputs = take_word(r);
  l->activation = take_word(r);
  l->sum = take_rounding(r);
  l->result = take_rounding(r);
  if (l->kind > LSTM || l->inputs > WIDTH_MAX || l->outputs > WIDTH_MAX) r->broken = 1;
  if (r->broken) return;
  uint64_t rows = (l->kind == LSTM ? 4u : 1u) * (uint64_t)l->outputs;
  l->weight = take_floats(r, rows * l->inputs);
  if (l->kind == LSTM) l->recurrent = take_floats(r, rows * l->outputs);
  l->bias = take_floats(r, rows);
}

// 0 unless the bytes are a whole network whose widths fit each other.
static int read_network(network *n, const uint8_t *bytes, uint64_t length) {
  reader r = {bytes, bytes + length, 0};
  n->n_inputs = take_word(&r);
  n->n_outputs = take_word(&r);
  n->n_layers = take_word(&r);
  if (r.broken || n->n_inputs < 1 || n->n_outputs != n->n_inputs) return 0;
  if (n->n_inputs > TENSORS_MAX || n->n_layers > LAYERS_MAX) return 0;
  for (uint32_t i = 0; i < n->n_inputs; i++) take_tensor(&r, n->in + i);
  for (uint32_t i = 0; i < n->n_outputs; i++) take_tensor(&r, n->out + i);
  uint32_t width = n->in[0].count;
  for (uint32_t i = 0; i < n->n_layers; i++) {
    layer *l = n->layers + i;
    take_layer(&r, l);
    int fits = l->kind != LSTM || (n->n_inputs == 3 && n->in[1].count == l->outputs &&
                                   n->in[2].count == l->outputs);
    if (r.broken || l->inputs != width || !fits) return 0;
    width = l->outputs;
  }
  n->x = calloc(WIDTH_MAX, sizeof(float));
  n->y = calloc(WIDTH_MAX, sizeof(float));
  n->gates = calloc(4 * WIDTH_MAX, sizeof(float));
  return !r.broken && r.at == r.end && n->out[0].count == width;
}

static void free_network(network *n) {
  for (int i = 0; i < TENSORS_MAX; i++) free(n->in[i].values), free(n->out[i].values);
  for (int i = 0; i < LAYERS_MAX; i++) {
    free((void *)n->layers[i].weight);
    free((void *)n->layers[i].recurrent);
    free((void *)n->layers[i].bias);
  }
  free(n->x), free(n->y), free(n->gates);
}

#endif
