// One connection of the soak: what it asks, what it expects for that, and what came of it. The
// framed protocol is src/wire/PROTOCOL.md, written down here once more: an error that client and
// service share would show nowhere.
#ifndef LITE3RL_SOAK_CONNECTION_H
#define LITE3RL_SOAK_CONNECTION_H

#include "exchange.h"
#include <stddef.h>

enum { PENDING_MAX = 16, BURST_MAX = 8, STATUSES = 32 };

// What the request shall come to: an action; bad input; a deadline missed; what the service is.
enum expected { GOOD, BAD, LATE, HELLO };

struct request {
  enum expected expected;
  uint32_t row, rows, id;
};

struct connection {
  const char *name, *endpoint;
  int is_framed, is_unix, fd;
  // In the order of asking, which is that of the answers.
  struct request request[PENDING_MAX];
  int pending;
  uint32_t next_id;
  uint8_t *out, *in;
  size_t out_bytes, out_sent, in_bytes, in_room;
};

struct figures {
  unsigned long answered, rows, fallback, wrong, lost, closed, abandoned, status[STATUSES];
  int64_t longest_gap_ns;
};

struct soak {
  // What the model answers, and what its fallback does, where it has one.
  struct exchange exchange, fallback;
  int has_faults, has_fallback;
  unsigned long goal, asked, settled;
  int64_t moved_ns; // When the last answer came.
  struct figures figures;
};

void connection_init(struct soak *soak, struct connection *c, const char *name);
// 0 where nobody listens.
int connection_open(struct soak *soak, struct connection *c);
// The other side ended it; what was asked and not answered is lost.
void connection_closed(struct soak *soak, struct connection *c);
// This side leaves, in the middle of whatever it was sending.
void connection_abandon(struct soak *soak, struct connection *c);
// Queues one or some requests.
void compose_burst(struct soak *soak, struct connection *c);
// Takes whole answers out of what was received and holds each to what it should be.
void take_answers(struct soak *soak, struct connection *c);

void soak_seed(uint64_t seed);
uint32_t below(uint32_t n);
// Once in n times.
int chance(uint32_t n);

#endif
