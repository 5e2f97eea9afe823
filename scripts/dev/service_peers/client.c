// A closed-loop client of the raw protocol, the same for every service: one connection blocks in
// its calls as a control loop does, several share one epoll loop and are all busy.
// Usage: client ENDPOINT EXCHANGE CONNECTIONS REQUESTS HZ; with HZ 0 as fast as answers come, else
// on the beat. Prints one line of JSON, times in µs. Every answer is compared with the right one.
#define _GNU_SOURCE
#include "exchange.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

enum { CONNECTIONS_MAX = 64 };

// Three services sum in three orders; a wrong network or a mixed-up answer is off by far more.
static const float TOLERANCE = 1e-3f;

static struct exchange exchange;

static void fail(const char *what) {
  fprintf(stderr, "client: %s\n", what);
  exit(1);
}

static void ask(int fd, uint32_t row) {
  ssize_t size = sizeof(float) * exchange.observation_size;
  const float *observation = exchange.observations + (size_t)row * exchange.observation_size;
  if (send(fd, observation, size, MSG_NOSIGNAL) != size) fail("a request was not taken");
}

static void check_answer(int fd, uint32_t row) {
  float action[WIDTH_MAX];
  ssize_t size = sizeof(float) * exchange.action_size;
  if (recv(fd, action, size, MSG_WAITALL) != size) fail("an answer did not come");
  const float *expected = exchange.actions + (size_t)row * exchange.action_size;
  for (uint32_t i = 0; i < exchange.action_size; i++) {
    if (!(fabsf(action[i] - expected[i]) <= TOLERANCE)) fail("an answer is wrong");
  }
}

static void run_one(int fd, uint32_t requests, int hz, int64_t *took_ns) {
  int64_t next_ns = now_ns();
  for (uint32_t i = 0; i < requests; i++) {
    if (hz > 0) {
      next_ns += 1000000000 / hz;
      struct timespec at = {next_ns / 1000000000, next_ns % 1000000000};
      clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
    }
    int64_t started = now_ns();
    ask(fd, i % exchange.rows);
    check_answer(fd, i % exchange.rows);
    took_ns[i] = now_ns() - started;
  }
}

static void run_many(const int *fds, int connections, uint32_t requests, int64_t *took_ns) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  uint32_t asked = 0, answered = 0, row[CONNECTIONS_MAX];
  int64_t started[CONNECTIONS_MAX];
  for (int c = 0; c < connections; c++) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fds[c], &event);
    started[c] = now_ns(), ask(fds[c], row[c] = asked++ % exchange.rows);
  }
  while (answered < requests) {
    struct epoll_event events[CONNECTIONS_MAX];
    int count = epoll_wait(epoll, events, CONNECTIONS_MAX, 10000);
    if (count <= 0) fail("no answer within 10 s");
    for (int i = 0; i < count; i++) {
      int c = events[i].data.u32;
      check_answer(fds[c], row[c]);
      took_ns[answered++] = now_ns() - started[c];
      if (asked < requests) started[c] = now_ns(), ask(fds[c], row[c] = asked++ % exchange.rows);
    }
  }
}

static int compare(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return (x > y) - (x < y);
}

int main(int argc, char **argv) {
  if (argc != 6) return 2;
  exchange_open(&exchange, argv[2]);
  int connections = atoi(argv[3]), requests = atoi(argv[4]), hz = atoi(argv[5]);
  if (connections < 1 || connections > CONNECTIONS_MAX || requests < connections) return 2;
  int fds[CONNECTIONS_MAX];
  for (int c = 0; c < connections; c++) {
    if ((fds[c] = connect_to(argv[1])) < 0) fail("no connection");
  }
  int64_t *took_ns = malloc(sizeof(int64_t) * requests), started = now_ns();
  if (connections == 1) run_one(fds[0], requests, hz, took_ns);
  else run_many(fds, connections, requests, took_ns);
  double seconds = (now_ns() - started) / 1e9;
  qsort(took_ns, requests, sizeof *took_ns, compare);
  const double at[] = {0.5, 0.99, 0.999, 1};
  const char *const names[] = {"p50", "p99", "p999", "max"};
  printf("{\"requests\":%d,\"perSecond\":%.1f", requests, requests / seconds);
  for (int i = 0; i < 4; i++) {
    int index = at[i] * requests;
    printf(",\"%s\":%.2f", names[i], took_ns[index < requests ? index : requests - 1] / 1e3);
  }
  printf("}\n");
  return 0;
}
