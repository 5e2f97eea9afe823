#define _GNU_SOURCE
#include "exchange.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  fprintf(stderr, "%s\n", what);
  exit(1);
}

static float *take_floats(FILE *file, size_t rows, size_t width) {
  float *values = malloc(sizeof(float) * rows * width);
  if (fread(values, sizeof(float), rows * width, file) != rows * width) fail("short exchange");
  return values;
}

void exchange_open(struct exchange *exchange, const char *path) {
  FILE *file = fopen(path, "rb");
  uint32_t head[3];
  if (!file || fread(head, sizeof *head, 3, file) != 3) fail("the exchange cannot be read");
  exchange->rows = head[0];
  exchange->observation_size = head[1], exchange->action_size = head[2];
  if (head[0] < 1 || head[1] > WIDTH_MAX || head[2] > WIDTH_MAX) fail("the exchange is too wide");
  exchange->observations = take_floats(file, head[0], head[1]);
  exchange->actions = take_floats(file, head[0], head[2]);
  fclose(file);
}

static int connect_socket(int family, const void *address, size_t bytes) {
  int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
  if (family == AF_INET) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!connect(fd, address, bytes)) return fd;
  close(fd);
  return -1;
}

int connect_to(const char *endpoint) {
  if (!strncmp(endpoint, "unix:", 5)) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    strncpy(address.sun_path, endpoint + 5, sizeof address.sun_path - 1);
    return connect_socket(AF_UNIX, &address, sizeof address);
  }
  char host[16];
  int port;
  if (sscanf(endpoint, "tcp:%15[0-9.]:%d", host, &port) != 2) fail("need unix:PATH or tcp:IP:PORT");
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  inet_pton(AF_INET, host, &address.sin_addr);
  return connect_socket(AF_INET, &address, sizeof address);
}

int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}
