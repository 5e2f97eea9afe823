// Asks a service many times over many connections at once and compares every number of every
// answer, exactly. Requests go out in bursts, split and coalesced at random; answers are read in
// pieces; now and then a client leaves in the middle of a frame and comes again.
//
// Usage: soak EXCHANGE REQUESTS SEED clean|faults|fallback:EXCHANGE CONNECTION…, each CONNECTION
// such as raw:unix:PATH or framed:tcp:127.0.0.1:3588. With `faults` one observation in a thousand
// is not finite, and the service may refuse and close; what it does answer must be right all the
// same. With `fallback` so too, and actions may be the second EXCHANGE's, marked where they can be.
// Prints {"settled":n} each second, then one line with all figures; status 1 if anything is wrong.
#define _GNU_SOURCE
#include "exchange.h"
#include "soak_connection.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 64, STALLED_S = 60, SECOND = 1000000000 };

static struct soak soak;
static struct connection connections[CONNECTIONS_MAX];
static int count;

static void print_figures(double seconds) {
  const struct figures *f = &soak.figures;
  printf("{\"requests\":%lu,\"answered\":%lu,\"rows\":%lu,\"fallback\":%lu,\"wrong\":%lu,"
         "\"lost\":%lu,\"closed\":%lu,\"abandoned\":%lu,\"badInput\":%lu,\"deadlineMissed\":%lu,\"busy\":%lu,"
         "\"failed\":%lu,\"longestGapMs\":%.1f,\"seconds\":%.2f}\n",
         soak.settled, f->answered, f->rows, f->fallback, f->wrong, f->lost, f->closed,
         f->abandoned, f->status[16], f->status[17], f->status[18], f->status[19],
         f->longest_gap_ns / 1e6, seconds);
}

// Sends what is queued, or only a part of it: the rest goes with the next turn.
static void send_some(struct connection *c) {
  size_t rest = c->out_bytes - c->out_sent, piece = rest;
  if (chance(4)) piece = 1 + below(rest);
  ssize_t sent = send(c->fd, c->out + c->out_sent, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent >= 0) c->out_sent += sent;
  else if (errno != EAGAIN && errno != EINTR) return connection_closed(&soak, c);
  if (chance(20000)) connection_abandon(&soak, c);
}

static void receive_some(struct connection *c) {
  size_t room = c->in_room - c->in_bytes, most = room;
  if (chance(4)) most = 1 + below(room < 64 ? room : 64);
  ssize_t got = recv(c->fd, c->in + c->in_bytes, most, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return connection_closed(&soak, c);
  c->in_bytes += got;
  take_answers(&soak, c);
}

static void turn(void) {
  struct pollfd fds[CONNECTIONS_MAX];
  int is_waiting = 0;
  for (int i = 0; i < count; i++) {
    struct connection *c = &connections[i];
    if (c->fd < 0 && !connection_open(&soak, c)) is_waiting = 1;
    if (c->fd >= 0 && c->pending == 0 && soak.asked < soak.goal) compose_burst(&soak, c);
    short out = c->out_sent < c->out_bytes ? POLLOUT : 0;
    fds[i] = (struct pollfd){.fd = c->fd, .events = POLLIN | out};
  }
  if (poll(fds, count, is_waiting ? 5 : 100) < 0 && errno != EINTR) perror("poll"), exit(1);
  for (int i = 0; i < count; i++) {
    struct connection *c = &connections[i];
    if (fds[i].revents & (POLLIN | POLLHUP | POLLERR)) receive_some(c);
    if (c->fd >= 0 && c->fd == fds[i].fd && fds[i].revents & POLLOUT) send_some(c);
  }
}

static int is_done(void) {
  if (soak.asked < soak.goal) return 0;
  for (int i = 0; i < count; i++) {
    if (connections[i].pending > 0) return 0;
  }
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 6 || argc - 5 > CONNECTIONS_MAX) return 2;
  signal(SIGPIPE, SIG_IGN);
  exchange_open(&soak.exchange, argv[1]);
  soak.goal = strtoul(argv[2], NULL, 10);
  soak_seed(strtoul(argv[3], NULL, 10));
  soak.has_faults = strcmp(argv[4], "clean");
  soak.has_fallback = !strncmp(argv[4], "fallback:", 9);
  if (soak.has_fallback) exchange_open(&soak.fallback, argv[4] + 9);
  for (count = 0; count < argc - 5; count++) {
    connection_init(&soak, &connections[count], argv[5 + count]);
  }
  int64_t started = now_ns(), said = started;
  soak.moved_ns = started;
  while (!is_done()) {
    turn();
    int64_t now = now_ns();
    if (now - said > SECOND) {
      printf("{\"settled\":%lu}\n", soak.settled), fflush(stdout);
      said = now;
    }
    if (now - soak.moved_ns > (int64_t)STALLED_S * SECOND) {
      fprintf(stderr, "soak: no answer for %d s\n", STALLED_S);
      return 1;
    }
  }
  print_figures((now_ns() - started) / 1e9);
  return soak.figures.wrong > 0;
}
