// Numbers on their way into the network and out of it: float32, float16 or int8 outside.
#ifndef LITE3RL_NUMBERS_H
#define LITE3RL_NUMBERS_H

#include "network.h"
#include "rknn_abi.h"

static uint32_t item_bytes(int type) { return type == FLOAT32 ? 4 : type == FLOAT16 ? 2 : 1; }

static int native_type(const tensor *t) {
  return t->round.kind == ROUND_INT8 ? INT8 : t->round.kind == ROUND_HALF ? FLOAT16 : FLOAT32;
}

static float half_to_float(uint16_t h) {
  int exponent = h >> 10 & 31, fraction = h & 1023;
  float size = exponent == 31 ? (fraction ? NAN : INFINITY)
               : exponent     ? ldexpf(1024 + fraction, exponent - 25)
                              : ldexpf(fraction, -24);
  return h & 0x8000 ? -size : size;
}

static uint16_t float_to_half(float x) {
  x = to_half(x);
  uint16_t sign = signbit(x) ? 0x8000 : 0;
  float size = fabsf(x);
  if (size != size) return sign | 0x7e00;
  if (size > 65504) return sign | 0x7c00;
  if (size < 6.103515625e-5f) return sign | (uint16_t)ldexpf(size, 24);
  int exponent;
  float fraction = frexpf(size, &exponent);
  return sign | (uint16_t)((exponent + 14) << 10) | (uint16_t)((int)ldexpf(fraction, 11) - 1024);
}

// The real library does not saturate here: 128 becomes -128.
static int8_t wrap(float x, rounding r) {
  return (int8_t)(uint8_t)(int64_t)(nearbyintf(x / r.scale) + r.zero);
}

static void put_in(tensor *t, const void *from, int type) {
  rounding r = t->round;
  for (uint32_t i = 0; i < t->count; i++) {
    float x = type == FLOAT32 ? ((const float *)from)[i] : 0;
    if (type == INT8) t->values[i] = r.scale * (float)(((const int8_t *)from)[i] - r.zero);
    else if (type == FLOAT16) t->values[i] = half_to_float(((const uint16_t *)from)[i]);
    else if (r.kind == ROUND_INT8) t->values[i] = r.scale * (float)(wrap(x, r) - r.zero);
    else t->values[i] = apply(r, x);
  }
}

static void put_out(const tensor *t, void *to, int type) {
  for (uint32_t i = 0; i < t->count; i++) {
    if (type == INT8) ((int8_t *)to)[i] = saturate(t->values[i], t->round);
    else if (type == FLOAT16) ((uint16_t *)to)[i] = float_to_half(t->values[i]);
    else ((float *)to)[i] = t->values[i];
  }
}

#endif
