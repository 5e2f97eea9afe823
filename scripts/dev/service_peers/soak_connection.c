#include "soak_connection.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER = 32, ROWS_MAX = 64, ROWS_WITH_FAULTS = 8, HELLO_MAX = 1 << 16 };
enum { KIND_HELLO = 1, KIND_INFER = 2, ANSWER_HELLO = 0x8001, ANSWER_INFER = 0x8002 };
enum { UNSAID = -1, OK = 0, FALLBACK = 1, BAD_INPUT = 16, DEADLINE_MISSED = 17 };
static const uint32_t MAGIC = 0x7ff4334c;

struct request_header {
  uint32_t magic;
  uint16_t kind, flags;
  uint32_t id, payload_bytes, deadline_us;
  uint16_t rows, version;
  uint64_t sent_at_us;
};

struct answer_header {
  uint32_t magic;
  uint16_t kind, status;
  uint32_t id, payload_bytes, service_us;
  uint16_t rows, version;
  uint32_t inference_us, generation;
};

_Static_assert(sizeof(struct request_header) == HEADER, "request header");
_Static_assert(sizeof(struct answer_header) == HEADER, "answer header");

// xorshift64*, by Marsaglia and Vigna.
static uint64_t state;

void soak_seed(uint64_t seed) { state = seed * 2685821657736338717u + 1; }

uint32_t below(uint32_t n) {
  state ^= state >> 12, state ^= state << 25, state ^= state >> 27;
  return ((state * 2685821657736338717u) >> 32) * n >> 32;
}

int chance(uint32_t n) { return below(n) == 0; }

static void wrong(struct soak *soak, struct connection *c, const char *what, double got) {
  if (soak->figures.wrong++ < 10) fprintf(stderr, "soak: %s: %s %.9g\n", c->name, what, got);
}

void connection_init(struct soak *soak, struct connection *c, const char *name) {
  const struct exchange *e = &soak->exchange;
  c->name = name, c->endpoint = strchr(name, ':') + 1, c->fd = -1;
  c->is_framed = !strncmp(name, "framed:", 7), c->is_unix = !strncmp(c->endpoint, "unix:", 5);
  size_t request = HEADER + sizeof(float) * ROWS_MAX * e->observation_size;
  c->in_room = HEADER + sizeof(float) * ROWS_MAX * e->action_size + HELLO_MAX;
  c->out = malloc(request * (BURST_MAX + 1)), c->in = malloc(c->in_room);
}

static void put(struct connection *c, const void *bytes, size_t size) {
  memcpy(c->out + c->out_bytes, bytes, size);
  c->out_bytes += size;
}

static void put_header(struct connection *c, const struct request *r, size_t payload_bytes) {
  struct request_header header = {.magic = MAGIC, .id = r->id, .rows = r->rows, .version = 1};
  header.kind = r->expected == HELLO ? KIND_HELLO : KIND_INFER;
  header.payload_bytes = payload_bytes;
  header.flags = r->expected != HELLO && chance(16);
  if (r->expected == LATE) {
    header.deadline_us = 1000, header.sent_at_us = now_ns() / 1000 - 1000000;
  } else if (r->expected != HELLO && chance(4)) {
    // Far enough for a service that begins anew in between.
    header.deadline_us = 60000000, header.sent_at_us = chance(2) ? now_ns() / 1000 : 0;
  }
  put(c, &header, sizeof header);
}

static struct request *add(struct connection *c, enum expected expected) {
  struct request *r = &c->request[c->pending++];
  *r = (struct request){.expected = expected, .id = c->next_id++};
  return r;
}

int connection_open(struct soak *soak, struct connection *c) {
  (void)soak;
  if ((c->fd = connect_to(c->endpoint)) < 0) return 0;
  c->pending = 0, c->out_bytes = c->out_sent = c->in_bytes = 0, c->next_id = below(1 << 30);
  if (c->is_framed) put_header(c, add(c, HELLO), 0);
  return 1;
}

// What is pending when a connection ends was never answered.
static void forget(struct soak *soak, struct connection *c) {
  close(c->fd);
  c->fd = -1;
  for (int i = 0; i < c->pending; i++) {
    if (c->request[i].expected == HELLO) continue;
    soak->settled++;
    // All that raw bytes can say to it is to end the connection.
    if (c->request[i].expected == BAD && !c->is_framed) soak->figures.status[BAD_INPUT]++;
    else soak->figures.lost++;
  }
  c->pending = 0, c->out_bytes = c->out_sent = c->in_bytes = 0;
}

void connection_closed(struct soak *soak, struct connection *c) {
  soak->figures.closed++;
  if (!soak->has_faults) wrong(soak, c, "closed by the service, requests pending:", c->pending);
  if (c->in_bytes > 0 && !c->is_framed) wrong(soak, c, "a part of an answer, bytes:", c->in_bytes);
  forget(soak, c);
}

void connection_abandon(struct soak *soak, struct connection *c) {
  soak->figures.abandoned++;
  forget(soak, c);
}

static enum expected choose(const struct soak *soak, const struct connection *c) {
  if (soak->has_faults && chance(1000)) return BAD;
  return c->is_framed && c->is_unix && chance(1000) ? LATE : GOOD;
}

void compose_burst(struct soak *soak, struct connection *c) {
  const struct exchange *e = &soak->exchange;
  c->out_bytes = c->out_sent = 0;
  for (int left = chance(2) ? 1 : 1 + below(BURST_MAX); left > 0; left--) {
    struct request *r = add(c, choose(soak, c));
    uint32_t most = soak->has_faults ? ROWS_WITH_FAULTS : ROWS_MAX;
    r->rows = c->is_framed && chance(8) ? 1 + below(most) : 1;
    r->row = below(e->rows - r->rows + 1);
    size_t numbers = (size_t)r->rows * e->observation_size;
    if (c->is_framed) put_header(c, r, sizeof(float) * numbers);
    float *sent = (float *)(c->out + c->out_bytes);
    put(c, e->observations + (size_t)r->row * e->observation_size, sizeof(float) * numbers);
    if (r->expected == BAD) sent[below(numbers)] = chance(2) ? NAN : INFINITY;
    soak->asked++;
    if (r->expected == BAD && !c->is_framed) return; // The connection ends there.
  }
}

static void settle(struct soak *soak, struct connection *c, size_t bytes) {
  int64_t now = now_ns();
  if (now - soak->moved_ns > soak->figures.longest_gap_ns) {
    soak->figures.longest_gap_ns = now - soak->moved_ns;
  }
  soak->moved_ns = now;
  if (c->request[0].expected != HELLO) soak->settled++;
  memmove(c->request, c->request + 1, sizeof *c->request * --c->pending);
  memmove(c->in, c->in + bytes, c->in_bytes -= bytes);
}

static int is_action(const struct exchange *e, uint32_t row, const uint8_t *bytes) {
  size_t size = e->action_size;
  return !memcmp(bytes, e->actions + row * size, sizeof(float) * size);
}

// Of rows that are marked some may be the model's; raw bytes do not say whose they are.
static void check_actions(struct soak *soak, struct connection *c, const uint8_t *bytes,
                          int status) {
  const struct request *r = &c->request[0];
  size_t size = sizeof(float) * soak->exchange.action_size;
  int others = 0;
  soak->figures.answered++, soak->figures.rows += r->rows;
  if (r->expected != GOOD) {
    return wrong(soak, c, "an action where there must be none, case", r->expected);
  }
  for (uint32_t i = 0, row = r->row; i < r->rows; i++, row++) {
    if (is_action(&soak->exchange, row, bytes + i * size)) continue;
    if (status == OK || !is_action(&soak->fallback, row, bytes + i * size)) {
      return wrong(soak, c, "not the action of row", row);
    }
    others++;
  }
  if (status == FALLBACK && others == 0) wrong(soak, c, "a mark on the model's own row", r->row);
  soak->figures.fallback += others > 0;
}

// Bytes of the answer; 0 if it is not there yet.
static size_t take_raw(struct soak *soak, struct connection *c) {
  size_t size = sizeof(float) * soak->exchange.action_size;
  if (c->in_bytes < size) return 0;
  check_actions(soak, c, c->in, soak->has_fallback ? UNSAID : OK);
  return size;
}

static void check_refusal(struct soak *soak, struct connection *c, const struct answer_header *h) {
  enum expected expected = c->request[0].expected;
  int wanted = expected == BAD ? BAD_INPUT : expected == LATE ? DEADLINE_MISSED : 0;
  if (h->status < STATUSES) soak->figures.status[h->status]++;
  // A failing model refuses what else would be answered, or answered too late.
  int fails = soak->has_faults && expected != BAD && h->status > DEADLINE_MISSED;
  if (h->status != wanted && !fails) wrong(soak, c, "status", h->status);
  if (h->payload_bytes > 512 || h->rows != 0) wrong(soak, c, "a refusal of rows", h->rows);
}

static size_t take_framed(struct soak *soak, struct connection *c) {
  struct answer_header h;
  if (c->in_bytes < HEADER) return 0;
  memcpy(&h, c->in, sizeof h);
  const struct request *r = &c->request[0];
  int kind = r->expected == HELLO ? ANSWER_HELLO : ANSWER_INFER;
  if (h.magic != MAGIC || h.kind != kind || h.version != 1 || h.id != r->id) {
    wrong(soak, c, "another header, status", h.status);
    return c->in_bytes;
  }
  if (h.payload_bytes > c->in_room - HEADER) {
    wrong(soak, c, "an answer of bytes", h.payload_bytes);
    return c->in_bytes;
  }
  if (c->in_bytes < HEADER + h.payload_bytes) return 0;
  const uint8_t *payload = c->in + HEADER;
  const struct exchange *e = &soak->exchange;
  if (r->expected == HELLO) {
    uint32_t sizes[2] = {0};
    if (h.payload_bytes > 48) memcpy(sizes, payload, sizeof sizes);
    if (sizes[0] != e->observation_size || sizes[1] != e->action_size) {
      wrong(soak, c, "hello says observations", sizes[0]);
    }
  } else if (h.status >= BAD_INPUT) check_refusal(soak, c, &h);
  else if (h.status > soak->has_fallback) wrong(soak, c, "status", h.status);
  else if (h.rows != r->rows || h.payload_bytes != sizeof(float) * h.rows * e->action_size) {
    wrong(soak, c, "an answer of rows", h.rows);
  } else check_actions(soak, c, payload, h.status);
  return HEADER + h.payload_bytes;
}

void take_answers(struct soak *soak, struct connection *c) {
  while (c->in_bytes > 0) {
    if (c->pending == 0) {
      wrong(soak, c, "bytes that nobody asked for:", c->in_bytes);
      return connection_abandon(soak, c);
    }
    size_t taken = c->is_framed ? take_framed(soak, c) : take_raw(soak, c);
    if (taken == 0) return;
    settle(soak, c, taken);
  }
}
