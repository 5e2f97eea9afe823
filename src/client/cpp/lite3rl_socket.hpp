// A stream socket with deadlines: Unix or TCP, non-blocking, never SIGPIPE, nothing allocated.
#ifndef LITE3RL_SOCKET_HPP
#define LITE3RL_SOCKET_HPP

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

namespace lite3rl {

// CLOCK_MONOTONIC, which all processes of a machine share.
inline std::uint64_t monotonic_us() noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::uint64_t(now.tv_sec) * 1'000'000 + std::uint64_t(now.tv_nsec) / 1'000;
}

class Socket {
 public:
  enum class Io { done, late, closed };

  // unix:PATH or tcp:HOST:PORT, HOST an IPv4 address or localhost. Opens nothing.
  explicit Socket(const std::string& address) {
    if (address.compare(0, 5, "unix:") == 0) {
      parse_unix(address.substr(5));
    } else if (address.compare(0, 4, "tcp:") == 0) {
      parse_tcp(address.substr(4));
    }
  }
  ~Socket() { close(); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  // Is the address one?
  bool is_valid() const noexcept { return address_size_ > 0; }

  // 0: connected; EINPROGRESS: when it can be written to; else why not, closed again.
  int open() noexcept {
    const int family = address_.ss_family;
    fd_ = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return errno;
    const int on = 1;
    if (family == AF_INET) ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto* address = reinterpret_cast<const sockaddr*>(&address_);
    if (::connect(fd_, address, address_size_) == 0) return 0;
    const int error = errno == EINTR ? EINPROGRESS : errno;
    if (error != EINPROGRESS) close();
    return error;
  }

  // How a connection ended that was in progress: 0 or why not.
  int outcome() const noexcept {
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    return error;
  }

  void close() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

  // Until the socket is ready, or has failed; false: at `end` it was not.
  bool wait(short events, std::uint64_t end) const noexcept {
    for (;;) {
      const std::uint64_t now = monotonic_us();
      if (now >= end) return false;
      const std::uint64_t left = end - now;
      const timespec time{time_t(left / 1'000'000), long(left % 1'000'000) * 1'000};
      pollfd entry{fd_, events, 0};
      if (::ppoll(&entry, 1, &time, nullptr) > 0) return true;
    }
  }

  // Sends all of it; `done` counts what went out before it was late.
  Io send(const void* bytes, std::size_t count, std::uint64_t end, std::size_t& done) noexcept {
    const char* at = static_cast<const char*>(bytes);
    for (done = 0; done < count;) {
      const ssize_t sent = ::send(fd_, at + done, count - done, MSG_NOSIGNAL);
      if (sent > 0) {
        done += std::size_t(sent);
      } else if (sent < 0 && is_full()) {
        if (!wait(POLLOUT, end)) return Io::late;
      } else if (sent == 0 || errno != EINTR) {
        return Io::closed;
      }
    }
    return Io::done;
  }

  // Waits for bytes and adds them to the `fill` bytes of `buffer`, up to `room` in all.
  Io receive(unsigned char* buffer, std::size_t room, std::uint64_t end,
             std::size_t& fill) noexcept {
    while (wait(POLLIN, end)) {
      const ssize_t count = ::recv(fd_, buffer + fill, room - fill, 0);
      if (count > 0) {
        fill += std::size_t(count);
        return Io::done;
      }
      if (count == 0 || (errno != EINTR && !is_full())) return Io::closed;
    }
    return Io::late;
  }

  // Adds what is there already; late: nothing is.
  Io receive_now(unsigned char* buffer, std::size_t room, std::size_t& fill) noexcept {
    ssize_t count;
    do {
      count = ::recv(fd_, buffer + fill, room - fill, 0);
    } while (count < 0 && errno == EINTR);
    if (count > 0) fill += std::size_t(count);
    return count > 0 ? Io::done : count < 0 && is_full() ? Io::late : Io::closed;
  }

 private:
  static bool is_full() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK; }

  void parse_unix(const std::string& path) {
    auto& address = reinterpret_cast<sockaddr_un&>(address_);
    if (path.empty() || path.size() >= sizeof address.sun_path) return;
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    address_size_ = sizeof address;
  }

  void parse_tcp(const std::string& text) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos) return;
    const std::string name = text.substr(0, colon);
    const std::string host = name == "localhost" ? "127.0.0.1" : name;
    char* rest = nullptr;
    const long port = std::strtol(text.c_str() + colon + 1, &rest, 10);
    auto& address = reinterpret_cast<sockaddr_in&>(address_);
    address.sin_family = AF_INET;
    if (*rest != 0 || port < 1 || port > 65'535) return;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1) return;
    address_size_ = sizeof address;
  }

  sockaddr_storage address_{};
  socklen_t address_size_ = 0;
  int fd_ = -1;
};

}  // namespace lite3rl

#endif  // LITE3RL_SOCKET_HPP
