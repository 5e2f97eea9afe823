// The framed protocol's numbers, as its PROTOCOL.md has them.
#ifndef LITE3RL_PROTOCOL_HPP
#define LITE3RL_PROTOCOL_HPP

#include <cstddef>
#include <cstdint>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the protocol is little-endian");

namespace lite3rl {

enum class Status : std::uint16_t {
  ok = 0,
  fallback = 1,          // an action, by the service's fallback on the CPU
  degraded = 2,          // an action, limited by a guard, or for an unusual observation
  bad_input = 16,        // a number is not finite, or the rows are too many
  deadline_missed = 17,  // no action in time
  busy = 18,             // not taken now
  failed = 19,           // the model gave no valid action
  // The client's own, never on the wire:
  disconnected = 256,  // there is no service, or it closed; the next call tries again
  incompatible = 257,  // the service has other sizes, or does not speak this protocol
};

// From 16 on there is no action; of statuses to come as well.
constexpr bool has_action(Status status) { return static_cast<std::uint16_t>(status) < 16; }

inline const char* name(Status status) {
  switch (status) {
    case Status::ok: return "ok";
    case Status::fallback: return "fallback";
    case Status::degraded: return "degraded";
    case Status::bad_input: return "bad input";
    case Status::deadline_missed: return "deadline missed";
    case Status::busy: return "busy";
    case Status::failed: return "failed";
    case Status::disconnected: return "disconnected";
    case Status::incompatible: return "incompatible";
  }
  return "unknown";
}

constexpr std::uint32_t kMagic = 0x7ff4334c;
constexpr std::uint16_t kHello = 1, kInfer = 2, kAnswer = 0x8000, kVersion = 1;
constexpr std::size_t kHeader = 32, kHelloFixed = 48, kHelloMax = 64 << 10;

struct Request {
  std::uint32_t magic = kMagic;
  std::uint16_t kind = 0, flags = 0;
  std::uint32_t id = 0, payload_bytes = 0, deadline_us = 0;
  std::uint16_t rows = 0, version = kVersion;
  std::uint64_t sent_at_us = 0;
};
struct Frame {
  std::uint32_t magic;
  std::uint16_t kind, status;
  std::uint32_t id, payload_bytes, service_us;
  std::uint16_t rows, version;
  std::uint32_t inference_us, generation;
};
static_assert(sizeof(Request) == kHeader && sizeof(Frame) == kHeader, "headers have 32 bytes");

}  // namespace lite3rl

#endif  // LITE3RL_PROTOCOL_HPP
