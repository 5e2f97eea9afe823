// Faults of the double, by environment; README.md has the table. Counts are per process.
#ifndef LITE3RL_FAULTS_H
#define LITE3RL_FAULTS_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { CALL_INIT, CALL_QUERY, CALL_SET, CALL_RUN, CALL_GET, CALL_MASK, CALL_MEM, CALLS };
static const char *const CALL_NAMES[CALLS] = {"init", "query", "set", "run", "get", "mask", "mem"};
static long call_count[CALLS];

static const char *setting(const char *name) {
  char full[64];
  snprintf(full, sizeof full, "LITE3RL_DOUBLE_%s", name);
  const char *value = getenv(full);
  return value && *value ? value : NULL;
}

static long number(const char *name) {
  const char *value = setting(name);
  return value ? atol(value) : 0;
}

// "12": the twelfth; "%12": every twelfth.
static int is_due(const char *when, long count) {
  if (!when) return 0;
  long n = atol(when + (*when == '%'));
  return n > 0 && (*when == '%' ? count % n == 0 : count == n);
}

// FAIL=call:when:status,…; the status to give instead of doing anything, or 0.
static int fault(int call) {
  long count = ++call_count[call];
  const char *rest = setting("FAIL");
  while (rest) {
    char name[16], when[24];
    int status, used = 0;
    if (sscanf(rest, "%15[a-z]:%23[%0-9]:%d%n", name, when, &status, &used) != 3) break;
    if (!strcmp(name, CALL_NAMES[call]) && is_due(when, count)) return status;
    rest = rest[used] == ',' ? rest + used + 1 : NULL;
  }
  return 0;
}

// Has this fault not happened yet in any process that shares the directory ONCE?
static int is_first(const char *what) {
  const char *directory = setting("ONCE");
  if (!directory) return 1;
  char path[512];
  snprintf(path, sizeof path, "%s/%s", directory, what);
  int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

// TRIGGER=directory: does a file of this name lie there? It is taken away.
static int is_triggered(const char *what) {
  const char *directory = setting("TRIGGER");
  if (!directory) return 0;
  char path[512];
  snprintf(path, sizeof path, "%s/%s", directory, what);
  return unlink(path) == 0;
}

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void sleep_ns(int64_t ns) {
  struct timespec t = {ns / 1000000000, ns % 1000000000};
  if (ns > 0) nanosleep(&t, NULL);
}

// DELAY_US, JITTER_US (uniform, the same in every process) and THERMAL=after:factor.
static void slow_down(long count, int64_t started) {
  static uint32_t seed = 1;
  seed = seed * 1664525 + 1013904223;
  int64_t us = number("DELAY_US") + (int64_t)number("JITTER_US") * (seed >> 8) / (1 << 24);
  const char *thermal = setting("THERMAL");
  long after = 0;
  double factor = 1;
  if (thermal) sscanf(thermal, "%ld:%lf", &after, &factor);
  int64_t more = 0;
  if (thermal && count > after) more = (int64_t)((factor - 1) * (now_ns() - started + us * 1000));
  sleep_ns(us * 1000 + more);
}

#endif
