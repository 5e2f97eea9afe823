// Client of a lite3rl service, for control loops: one header, C++17, Linux, nothing to link.
//
//     lite3rl::Client client("unix:/tmp/lite3_policy.sock", 45, 12);
//     float observation[45] = {}, action[12];
//     const lite3rl::Status status = client.infer(observation, action, 5'000);
//     if (lite3rl::has_action(status)) apply(action);
//     else std::fprintf(stderr, "%s: %s\n", lite3rl::name(status), client.reason());
//
// - infer() returns within its deadline, never throws, raises no SIGPIPE and allocates nothing.
//   It connects, and connects again, by itself, and waits for that no longer either.
// - Without an action the array stays as it was. An action is never old: a late answer is known by
//   its request's id and dropped. No request is sent twice.
// - Framed protocol (hello, episodes, status, batches), or raw bytes with Options::raw.
// - One client, one connection, one thread at a time.
#ifndef LITE3RL_CLIENT_HPP
#define LITE3RL_CLIENT_HPP

#include "lite3rl_protocol.hpp"
#include "lite3rl_socket.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <vector>

namespace lite3rl {

// What the service says of itself; `json` has model, backend, evidence, contract and more.
struct Hello {
  std::uint32_t observation_size = 0, action_size = 0, rows_max = 0;
  bool recurrent = false;
  unsigned char sha256[32] = {};  // of the model file
  std::string json;
};

// What an answer says beside its action. The generation grows with each model that is loaded.
struct Answer {
  std::uint32_t service_us = 0, inference_us = 0, generation = 0;
};

struct Options {
  bool raw = false;                   // 4·N bytes out, 4·A bytes in, nothing around them
  std::uint32_t rows_max = 1;         // of the largest batch; services take up to 64
  std::uint32_t open_us = 1'000'000;  // a connection that is not ready by then is given up
  std::uint32_t retry_us = 20'000;    // from an attempt that failed to the next
  std::uint32_t misses_max = 3;       // so many unanswered requests in a row end a connection
};

class Client {
 public:
  // `address`: unix:PATH or tcp:HOST:PORT, HOST an IPv4 address or localhost. Opens nothing yet.
  Client(const std::string& address, std::uint32_t observation_size, std::uint32_t action_size,
         Options options = {})
      : observation_size_(observation_size),
        action_size_(action_size),
        options_(options),
        socket_(address),
        tx_(kHeader + 4ull * observation_size * options.rows_max),
        rx_(kHeader + std::max<std::size_t>(4ull * action_size * options.rows_max, kHelloMax)) {
    hello_.json.reserve(kHelloMax);
  }

  // Connects, and waits for the service's hello: ok, deadline_missed (there is somebody, who says
  // nothing), disconnected, busy (no place for another client) or incompatible.
  Status connect(std::uint32_t timeout_us = 1'000'000) noexcept {
    const std::uint64_t end = monotonic_us() + timeout_us;
    for (;;) {
      reason_[0] = 0;
      if (state_ == State::open) drop_late(end);
      const Status status = ready(end);
      const std::uint64_t now = monotonic_us();
      const bool may_change = status == Status::disconnected || status == Status::busy;
      if (!may_change || !socket_.is_valid() || now >= end) return status;
      if (state_ == State::closed) {
        const std::uint64_t left = std::min(end, std::max(retry_at_, now + 1'000)) - now;
        const timespec time{time_t(left / 1'000'000), long(left % 1'000'000) * 1'000};
        ::nanosleep(&time, nullptr);
      }
    }
  }

  // `observation`: rows × N numbers, before any normalizer; `action`: room for rows × A.
  // Rows of a recurrent policy are consecutive steps.
  Status infer(const float* observation, float* action, std::uint32_t deadline_us,
               std::uint32_t rows = 1) noexcept {
    const std::uint64_t start = monotonic_us(), end = start + deadline_us;
    reason_[0] = 0;
    answer_ = {};
    if (rows - 1 >= options_.rows_max) return say(Status::bad_input, "no rows, or too many");
    const std::size_t count = std::size_t(rows) * observation_size_;
    for (std::size_t i = 0; i < count; ++i) {
      if (!std::isfinite(observation[i])) return say(Status::bad_input, "a number is not finite");
    }
    if (state_ == State::open) drop_late(end);
    if (const Status status = ready(end); status != Status::ok) return status;
    if (options_.raw) return exchange_raw(observation, action, rows, end);
    if (rows > hello_.rows_max) return say(Status::bad_input, "too many rows");
    return exchange(observation, action, rows, start, deadline_us);
  }

  // A new episode begins with the next request. (Raw: by a new connection.)
  void reset() noexcept {
    reset_ = true;
    if (options_.raw) close();
  }

  // The next call connects again, and begins a new episode.
  void close() noexcept {
    socket_.close();
    state_ = State::closed;
    fill_ = misses_ = 0;
  }

  bool is_open() const noexcept { return state_ == State::open; }
  // Of the last service that said it; with raw bytes none does.
  const Hello& hello() const noexcept { return hello_; }
  const Answer& answer() const noexcept { return answer_; }
  // Why the last call gave no action; "" if it did.
  const char* reason() const noexcept { return reason_; }

 private:
  using Io = Socket::Io;
  enum class State { closed, connecting, greeting, open };

  // Goes on with the connection from wherever it is, until it is ready or `end`.
  Status ready(std::uint64_t end) noexcept {
    if (!socket_.is_valid()) {
      return say(Status::disconnected, "the address is neither unix:PATH nor tcp:HOST:PORT");
    }
    if (state_ == State::closed) {
      opened_at_ = monotonic_us();
      if (opened_at_ < retry_at_) return say(refused_, refusal_);
      const int error = socket_.open();
      if (error != 0 && error != EINPROGRESS) return give_up(std::strerror(error));
      state_ = State::connecting;
    }
    if (state_ == State::connecting) {
      if (!socket_.wait(POLLOUT, end)) return not_yet("the service takes no connection");
      if (const int error = socket_.outcome(); error != 0) return give_up(std::strerror(error));
      if (const Status status = greet(); status != Status::ok) return status;
    }
    if (state_ == State::greeting) {
      const Status status = read_frame(kHello, hello_id_, end);
      if (status == Status::deadline_missed) return not_yet("the service says no hello");
      if (status == Status::disconnected) {
        return give_up(
            "the service closed instead of saying hello; its log says why: it may be full "
            "(--max-clients), not let this user in (--allow-uid), or speak raw bytes only");
      }
      return status == Status::ok ? meet() : status;
    }
    return Status::ok;
  }

  Status greet() noexcept {
    if (options_.raw) {
      state_ = State::open;
      return Status::ok;
    }
    Request request;
    request.kind = kHello;
    request.id = hello_id_ = ++id_;
    std::size_t done;  // a fresh socket has room for 32 bytes
    if (socket_.send(&request, sizeof request, 0, done) != Io::done) {
      return give_up("the service takes no hello");
    }
    state_ = State::greeting;
    return Status::ok;
  }

  // Reads the hello, which is whole in rx_.
  Status meet() noexcept {
    const unsigned char* at = rx_.data() + kHeader;
    if (!has_action(static_cast<Status>(frame_.status))) {
      explain();
      const bool is_full = frame_.status == static_cast<std::uint16_t>(Status::busy);
      return refuse(is_full ? Status::busy : Status::incompatible);
    }
    const bool is_hello = frame_.kind == (kAnswer | kHello);
    if (!is_hello || frame_.payload_bytes < kHelloFixed || frame_.payload_bytes > kHelloMax) {
      return incompatible("the service's hello is not one");
    }
    std::uint32_t fixed[4];
    std::memcpy(fixed, at, sizeof fixed);
    hello_.observation_size = fixed[0];
    hello_.action_size = fixed[1];
    hello_.rows_max = fixed[2];
    hello_.recurrent = (fixed[3] & 1) != 0;
    std::memcpy(hello_.sha256, at + 16, sizeof hello_.sha256);
    const auto* json = reinterpret_cast<const char*>(at + kHelloFixed);
    hello_.json.assign(json, frame_.payload_bytes - kHelloFixed);
    drop_frame();
    if (fixed[0] != observation_size_ || fixed[1] != action_size_) {
      std::snprintf(reason_, sizeof reason_, "it takes %u and gives %u numbers, need %u and %u",
                    fixed[0], fixed[1], observation_size_, action_size_);
      return refuse(Status::incompatible);
    }
    state_ = State::open;
    return Status::ok;
  }

  Status exchange(const float* observation, float* action, std::uint32_t rows, std::uint64_t start,
                  std::uint32_t deadline_us) noexcept {
    const std::uint64_t end = start + deadline_us;
    const std::size_t bytes = 4ull * rows * observation_size_;
    Request request;
    request.kind = kInfer;
    request.flags = reset_ ? 1 : 0;
    request.id = ++id_;
    request.payload_bytes = static_cast<std::uint32_t>(bytes);
    request.deadline_us = std::max<std::uint32_t>(deadline_us, 1);  // 0 would be none
    request.rows = static_cast<std::uint16_t>(rows);
    request.sent_at_us = start;
    std::memcpy(tx_.data(), &request, kHeader);
    std::memcpy(tx_.data() + kHeader, observation, bytes);
    const Status sent = send(tx_.data(), kHeader + bytes, end);
    if (sent != Status::ok) return sent;
    const Status status = read_frame(kInfer, request.id, end);
    if (status == Status::deadline_missed) return missed();
    return status == Status::ok ? take(action, rows, end) : status;
  }

  // Takes the answer, which is whole in rx_.
  Status take(float* action, std::uint32_t rows, std::uint64_t end) noexcept {
    const Frame frame = frame_;
    const auto status = static_cast<Status>(frame.status);
    misses_ = 0;
    answer_ = {frame.service_us, frame.inference_us, frame.generation};
    if (!has_action(status)) {
      explain();
      drop_frame();
      // Busy and bad input change nothing: an episode that was to begin still is.
      if (status == Status::deadline_missed) reset_ = false;
      if (status == Status::failed) reset_ = true;
      return status;
    }
    if (frame.rows != rows || frame.payload_bytes != 4ull * rows * action_size_) {
      return incompatible("the service's action has another size");
    }
    reset_ = false;
    const Status given = give(action, rx_.data() + kHeader, frame.payload_bytes, end);
    drop_frame();
    return given == Status::ok ? status : given;
  }

  Status exchange_raw(const float* observation, float* action, std::uint32_t rows,
                      std::uint64_t end) noexcept {
    const std::size_t bytes = 4ull * rows * action_size_;
    Status status = send(observation, 4ull * rows * observation_size_, end);
    while (status == Status::ok && fill_ < bytes) status = receive(bytes, end);
    // Raw answers have no id: after a missed one the stream is out of step.
    if (status == Status::deadline_missed) return fail(say(status, "no action in time"));
    if (status != Status::ok) return status;
    fill_ = 0;
    return give(action, rx_.data(), bytes, end);
  }

  // Hands the action out, if it is one and there is still time for it.
  Status give(float* action, const unsigned char* bytes, std::size_t count,
              std::uint64_t end) noexcept {
    for (std::size_t at = 0; at < count; at += 4) {
      float value;
      std::memcpy(&value, bytes + at, 4);
      if (!std::isfinite(value)) return say(Status::failed, "an action is not finite");
    }
    if (monotonic_us() > end) return say(Status::deadline_missed, "the action was there too late");
    std::memcpy(action, bytes, count);
    return Status::ok;
  }

  // Waits for the answer to `id` and drops those to earlier requests. ok: it is whole in rx_.
  Status read_frame(std::uint16_t kind, std::uint32_t id, std::uint64_t end) noexcept {
    for (;;) {
      while (const std::size_t size = frame_size()) {
        if (size > rx_.size()) return incompatible("the service does not speak this protocol");
        if (fill_ < size) break;
        const bool is_refusal = kind == kHello && frame_.kind == (kAnswer | kInfer);
        if (is_refusal || (frame_.id == id && frame_.kind == (kAnswer | kind))) return Status::ok;
        drop_frame();
      }
      const Status status = receive(rx_.size(), end);
      if (status != Status::ok) return status;
    }
  }

  // Bytes of the frame that rx_ begins with: 0 before its header is there, SIZE_MAX if it is none.
  std::size_t frame_size() noexcept {
    if (fill_ < kHeader) return 0;
    std::memcpy(&frame_, rx_.data(), kHeader);
    const bool is_known = frame_.kind == (kAnswer | kHello) || frame_.kind == (kAnswer | kInfer);
    const bool is_ours = frame_.magic == kMagic && frame_.version == kVersion && is_known;
    const bool fits = frame_.payload_bytes <= rx_.size() - kHeader;
    return is_ours && fits ? kHeader + frame_.payload_bytes : SIZE_MAX;
  }

  void drop_frame() noexcept {
    const std::size_t size = kHeader + frame_.payload_bytes;
    fill_ -= size;
    std::memmove(rx_.data(), rx_.data() + size, fill_);
  }

  // Before a request: what came since the last one is late, and an end of the connection is seen
  // while there is time for another.
  void drop_late(std::uint64_t end) noexcept {
    while (monotonic_us() < end) {
      const Io io = socket_.receive_now(rx_.data(), rx_.size(), fill_);
      if (io == Io::late) return;
      // Raw bytes that nobody asked for put the stream out of step.
      if (io == Io::closed || options_.raw) return close();
      while (const std::size_t size = frame_size()) {
        if (size > rx_.size()) return close();
        if (fill_ < size) break;
        drop_frame();
      }
    }
  }

  Status send(const void* bytes, std::size_t count, std::uint64_t end) noexcept {
    std::size_t done;
    const Io io = socket_.send(bytes, count, end, done);
    if (io == Io::closed) return fail(say(Status::disconnected, "the service closed"));
    if (io == Io::done) return Status::ok;
    // A request that is cut ends the connection.
    return done == 0 ? missed() : fail(missed());
  }

  Status receive(std::size_t room, std::uint64_t end) noexcept {
    const Io io = socket_.receive(rx_.data(), room, end, fill_);
    if (io == Io::closed) return fail(say(Status::disconnected, "the service closed"));
    return io == Io::done ? Status::ok : Status::deadline_missed;
  }

  Status say(Status status, const char* why) noexcept {
    std::snprintf(reason_, sizeof reason_, "%s", why);
    return status;
  }
  // The reason that the frame in rx_ has, without what would control a terminal.
  void explain() noexcept {
    const std::size_t length = std::min<std::size_t>(frame_.payload_bytes, sizeof reason_ - 1);
    for (std::size_t i = 0; i < length; ++i) {
      const unsigned char byte = rx_[kHeader + i];
      reason_[i] = byte < 32 || byte == 127 ? '?' : static_cast<char>(byte);
    }
    reason_[length] = 0;
  }
  Status fail(Status status) noexcept {
    close();
    return status;
  }
  Status refuse(Status status) noexcept {
    retry_at_ = monotonic_us() + options_.retry_us;
    refused_ = status;
    std::memcpy(refusal_, reason_, sizeof refusal_);
    return fail(status);
  }
  Status give_up(const char* why) noexcept { return refuse(say(Status::disconnected, why)); }
  Status incompatible(const char* why) noexcept { return refuse(say(Status::incompatible, why)); }
  Status missed() noexcept {
    if (++misses_ >= options_.misses_max) close();
    return say(Status::deadline_missed, "no action in time");
  }
  Status not_yet(const char* why) noexcept {
    if (monotonic_us() - opened_at_ > options_.open_us) return give_up(why);
    return say(Status::deadline_missed, why);
  }

  const std::uint32_t observation_size_, action_size_;
  const Options options_;
  Socket socket_;
  State state_ = State::closed;
  bool reset_ = true;
  std::uint32_t id_ = 0, hello_id_ = 0, misses_ = 0;
  std::uint64_t opened_at_ = 0, retry_at_ = 0;
  std::vector<unsigned char> tx_, rx_;
  std::size_t fill_ = 0;  // bytes in rx_
  Frame frame_{};         // the header that it begins with
  Hello hello_;
  Answer answer_;
  Status refused_ = Status::disconnected;  // what the last attempt to connect came to
  char reason_[513] = {}, refusal_[513] = {};
};

}  // namespace lite3rl

#endif  // LITE3RL_CLIENT_HPP
