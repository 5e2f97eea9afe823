// Observations and the actions that are right for them.
//
// File, little-endian: u32 rows, u32 N, u32 A; f32 observation[rows][N]; f32 action[rows][A].
#ifndef LITE3RL_EXCHANGE_H
#define LITE3RL_EXCHANGE_H

#include <stdint.h>

enum { WIDTH_MAX = 4096 };

struct exchange {
  uint32_t rows, observation_size, action_size;
  float *observations, *actions;
};

// Reads a file; ends the program with a word on stderr if that fails.
void exchange_open(struct exchange *exchange, const char *path);

// Connects to unix:PATH or tcp:IPV4:PORT and returns the socket, -1 if nobody listens there.
int connect_to(const char *endpoint);

int64_t now_ns(void);

#endif
