// An MLP policy with ELU between its layers, as a C programmer writes it: float32, loops that the
// compiler vectorises.
//
// File, little-endian: u32 layers, u32 observation size; f32 mean[size], f32 divisor[size]; for
// each layer u32 inputs, u32 outputs, f32 weight[inputs][outputs], f32 bias[outputs].
#ifndef LITE3RL_MLP_H
#define LITE3RL_MLP_H

#include <stdint.h>

enum { MLP_LAYERS_MAX = 16 };

struct mlp_layer {
  uint32_t inputs, outputs;
  float *weight, *bias;
};

struct mlp {
  uint32_t layers, observation_size, action_size;
  float *mean, *divisor;
  struct mlp_layer layer[MLP_LAYERS_MAX];
  float *values[2]; // What a layer takes and gives, with room for the widest.
};

// Reads a policy; ends the program with a word on stderr if that fails.
void mlp_open(struct mlp *mlp, const char *path);
void mlp_infer(struct mlp *mlp, const float *observation, float *action);

#endif
