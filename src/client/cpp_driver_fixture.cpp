// For tests: a client that does what the lines of its standard input say, and prints for each call
// what came of it, as a line of JSON. client_suite.ts has the lines.
#include "lite3rl_client.hpp"

#include <signal.h>
#include <sys/time.h>

#include <cstdlib>
#include <iostream>
#include <new>
#include <sstream>

static std::size_t allocations = 0;
void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

static void print(const lite3rl::Client& client, lite3rl::Status status, double ms) {
  const lite3rl::Answer& answer = client.answer();
  std::string reason = client.reason();
  // JSON takes the others.
  for (char& letter : reason) {
    if (static_cast<signed char>(letter) < 0 || letter == '"' || letter == '\\') letter = '?';
  }
  std::printf("{\"status\":%d,\"name\":\"%s\",\"reason\":\"%s\",\"open\":%s,\"generation\":%u,"
              "\"ms\":%g,\"action\":[",
              int(status), lite3rl::name(status), reason.c_str(),
              client.is_open() ? "true" : "false", answer.generation, ms);
}

// From here on every wait for a socket is interrupted again and again: ppoll always, with
// SA_RESTART too, which keeps the reading of standard input whole.
static void interrupt() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval timer{{0, 700}, {0, 700}};
  setitimer(ITIMER_REAL, &timer, nullptr);
}

int main(int argc, char** argv) {
  interrupt();
  const std::uint32_t n = argc > 2 ? std::uint32_t(std::atoi(argv[2])) : 0;
  const std::uint32_t a = argc > 3 ? std::uint32_t(std::atoi(argv[3])) : 0;
  lite3rl::Options options;
  options.raw = argc > 4 && std::string(argv[4]) == "raw";
  options.rows_max = 64;
  options.open_us = 300'000;
  lite3rl::Client client(argv[1], n, a, options);
  std::vector<float> observation(64 * n), action(64 * a);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    if (verb == "reset") client.reset();
    if (verb == "close") client.close();
    if (verb == "connect") {
      double ms = 1000;
      words >> ms;
      const std::uint64_t start = lite3rl::monotonic_us();
      const auto status = client.connect(std::uint32_t(ms * 1000));
      print(client, status, double(lite3rl::monotonic_us() - start) / 1000);
      const lite3rl::Hello& hello = client.hello();
      std::printf("],\"sizes\":[%u,%u,%u],\"recurrent\":%s,\"digest\":\"", hello.observation_size,
                  hello.action_size, hello.rows_max, hello.recurrent ? "true" : "false");
      for (unsigned char byte : hello.sha256) std::printf("%02x", byte);
      std::printf("\",\"about\":%s}\n", hello.json.empty() ? "null" : hello.json.c_str());
    }
    if (verb == "infer") {
      double deadline_ms = 0;
      std::uint32_t rows = 1;
      words >> deadline_ms >> rows;
      std::string word;
      for (std::size_t i = 0; i < observation.size() && words >> word; ++i) {
        observation[i] = std::strtof(word.c_str(), nullptr);
      }
      std::fill(action.begin(), action.end(), -7.f);
      const std::size_t before = allocations;
      const std::uint64_t start = lite3rl::monotonic_us();
      const auto status = client.infer(observation.data(), action.data(),
                                       std::uint32_t(deadline_ms * 1000), rows);
      const double ms = double(lite3rl::monotonic_us() - start) / 1000;
      if (allocations != before) std::abort();
      print(client, status, ms);
      for (std::size_t i = 0; i < rows * a; ++i) {
        std::printf("%s%.17g", i == 0 ? "" : ",", double(action[i]));
      }
      std::printf("]}\n");
    }
    std::fflush(stdout);
  }
}
