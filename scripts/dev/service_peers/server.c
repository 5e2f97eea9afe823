// The service as a C programmer writes it: one epoll loop, raw bytes in and out, one policy.
// Usage: server NETWORK SOCKET; says "READY" when it listens, ends with its standard input.
#define _GNU_SOURCE
#include "mlp.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { CLIENTS_MAX = 64, WIDTH_MAX = 4096 };

struct client {
  size_t filled;
  float observation[WIDTH_MAX];
};

static struct mlp mlp;
static struct client *clients[1024];
static int epoll;

static void watch(int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) perror("epoll_ctl"), exit(1);
}

static int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, CLIENTS_MAX)) {
    perror(path), exit(1);
  }
  return fd;
}

static void drop(int fd) {
  free(clients[fd]);
  clients[fd] = NULL;
  close(fd);
}

static void serve(int fd) {
  struct client *client = clients[fd];
  size_t need = sizeof(float) * mlp.observation_size;
  char *bytes = (char *)client->observation;
  ssize_t got = recv(fd, bytes + client->filled, need - client->filled, 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return drop(fd);
  client->filled += got;
  if (client->filled < need) return;
  float action[WIDTH_MAX];
  mlp_infer(&mlp, client->observation, action);
  client->filled = 0;
  ssize_t size = sizeof(float) * mlp.action_size;
  if (send(fd, action, size, MSG_NOSIGNAL) != size) drop(fd);
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  mlp_open(&mlp, argv[1]);
  if (mlp.observation_size > WIDTH_MAX || mlp.action_size > WIDTH_MAX) return 2;
  epoll = epoll_create1(EPOLL_CLOEXEC);
  int listener = listen_at(argv[2]);
  watch(listener), watch(STDIN_FILENO);
  puts("READY"), fflush(stdout);
  for (;;) {
    struct epoll_event events[CLIENTS_MAX];
    int count = epoll_wait(epoll, events, CLIENTS_MAX, -1);
    for (int i = 0; i < count; i++) {
      int fd = events[i].data.fd;
      if (fd == STDIN_FILENO) return 0;
      if (fd != listener) serve(fd);
      else if ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        clients[fd] = calloc(1, sizeof **clients), watch(fd);
      }
    }
  }
}
