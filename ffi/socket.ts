/**
 * Stream sockets through libc: addresses, listening, connecting, and calls with a deadline.
 */

import { lchownSync, rmSync } from "node:fs";
import { Lite3Error, quote } from "../src/base/errors.ts";
import { ERRNO, checkCall, errno, errnoText, libc } from "./libc.ts";

export type SocketAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** sys/socket.h and netinet/tcp.h */
const AF = { UNIX: 1, INET: 2 } as const;
const STREAM = 1;
const CLOEXEC = 0o2000000;
const NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO = { REUSEADDR: 2, KEEPALIVE: 9, ERROR: 4, PEERCRED: 17, PEERGROUPS: 59 } as const;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
/** A client whose cable is pulled is noticed by the kernel: after 15 s of silence, 3 asks of 5 s. */
const KEEP_ALIVE = { TCP_KEEPIDLE: [4, 15], TCP_KEEPINTVL: [5, 5], TCP_KEEPCNT: [6, 3] } as const;
/** Clients that wait while an engine takes another's place: as many as a service holds. */
const BACKLOG = 1024;
const POLL = { IN: 1, OUT: 4 } as const;
/** limits.h: NGROUPS_MAX */
const GROUPS_MAX = 65_536;

/** What a send or receive comes to when it moves no bytes. */
export const CLOSED = -1;
export const WOULD_BLOCK = -2;
/** No file descriptor is left for another connection. */
export const EXHAUSTED = -3;
/** How long to wait before asking again at a full backlog. */
const RETRY_MS = 2;

/** struct sockaddr_un or sockaddr_in. */
export function encodeAddress(address: SocketAddress): Buffer {
  if (address.kind === "unix") {
    const bytes = Buffer.alloc(2 + Buffer.byteLength(address.path) + 1);
    bytes.writeUInt16LE(AF.UNIX, 0);
    bytes.write(address.path, 2);
    return bytes;
  }
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF.INET, 0);
  bytes.writeUInt16BE(address.port, 2);
  bytes.set(address.host.split(".").map(Number), 4);
  return bytes;
}

function openSocket(address: SocketAddress): number {
  const family = address.kind === "unix" ? AF.UNIX : AF.INET;
  const fd = checkCall("socket", libc.socket(family, STREAM | CLOEXEC | NONBLOCK, 0));
  if (address.kind === "tcp") checkCall("setsockopt", setOption(fd, IPPROTO_TCP, TCP_NODELAY));
  return fd;
}

/** Two sockets connected to each other; neither blocks, and no child inherits one by accident. */
export function socketPair(): [ours: number, theirs: number] {
  const pair = new Int32Array(2);
  checkCall("socketpair", libc.socketpair(AF.UNIX, STREAM | CLOEXEC | NONBLOCK, 0, pair));
  return [pair[0] as number, pair[1] as number];
}

function setOption(fd: number, level: number, option: number, value = 1): number {
  return libc.setsockopt(fd, level, option, Int32Array.of(value), 4);
}

/** Who may connect to a Unix socket. */
export interface SocketAccess {
  readonly mode: number;
  /** The group instead of this process's own. */
  readonly gid?: number | undefined;
}

/**
 * Listens without blocking; a Unix socket is made with mode 0600 where no `access` is given. Throws
 * BUSY when the address is taken, NATIVE when it cannot be bound or given to the group.
 */
export function listenOn(address: SocketAddress, access: SocketAccess = { mode: 0o600 }): number {
  const fd = openSocket(address);
  const bytes = encodeAddress(address);
  if (address.kind === "tcp") checkCall("setsockopt", setOption(fd, SOL_SOCKET, SO.REUSEADDR));
  const umask = process.umask(0o777 & ~access.mode);
  const bound = libc.bind(fd, bytes, bytes.length);
  const code = errno();
  process.umask(umask);
  if (bound < 0) {
    libc.close(fd);
    throw cannot("listen on", address, code);
  }
  // Nobody can connect before it listens, so nobody does with the wrong group.
  if (address.kind === "unix" && access.gid !== undefined) giveToGroup(fd, address, access.gid);
  checkCall("listen", libc.listen(fd, BACKLOG));
  return fd;
}

function giveToGroup(fd: number, address: SocketAddress & { kind: "unix" }, gid: number): void {
  try {
    lchownSync(address.path, process.getuid?.() ?? -1, gid);
  } catch (error) {
    libc.close(fd);
    rmSync(address.path, { force: true });
    throw new Lite3Error(
      "NATIVE",
      `Cannot give ${quote(address.path)} to group ${gid}: ` +
        `${(error as NodeJS.ErrnoException).code}, ` +
        "need root or a group that this user is in",
      { cause: error },
    );
  }
}

/** sys/socket.h and fcntl.h, for a descriptor that comes from elsewhere. */
const SO_TYPE = 3;
const SO_ACCEPTCONN = 30;
const F = { SETFD: 2, GETFL: 3, SETFL: 4 } as const;
const FD_CLOEXEC = 1;

/**
 * A listening stream socket that another program has made: from now on no child inherits it and it
 * does not block. Throws CONFIG for a descriptor that is something else.
 */
export function adoptListener(fd: number): SocketAddress {
  const bytes = Buffer.alloc(110);
  const length = Uint32Array.of(bytes.length);
  const isSocket = libc.getsockname(fd, bytes, length) === 0;
  const family = bytes.readUInt16LE(0);
  const isKnown = isSocket && (family === AF.UNIX || family === AF.INET);
  if (!isKnown || option(fd, SO_TYPE) !== STREAM || option(fd, SO_ACCEPTCONN) !== 1) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot listen on file descriptor ${fd}: it is no listening stream socket of a path or an ` +
        "IPv4 address, need ListenStream= of the unit",
    );
  }
  checkCall("fcntl", libc.fcntl(fd, F.SETFD, FD_CLOEXEC));
  checkCall("fcntl", libc.fcntl(fd, F.SETFL, libc.fcntl(fd, F.GETFL, 0) | NONBLOCK));
  if (family === AF.UNIX) {
    const path = bytes.toString("utf8", 2, length[0]).replace(/\0+$/, "").replace(/^\0/, "@");
    return { kind: "unix", path };
  }
  const host = [...bytes.subarray(4, 8)].join(".");
  return { kind: "tcp", host, port: bytes.readUInt16BE(2) };
}

function option(fd: number, name: number): number {
  const value = new Int32Array(1);
  return libc.getsockopt(fd, SOL_SOCKET, name, value, Uint32Array.of(4)) === 0
    ? (value[0] as number)
    : -1;
}

/** The port the system chose, where port 0 was asked for. */
export function boundPort(fd: number): number {
  const bytes = Buffer.alloc(16);
  checkCall("getsockname", libc.getsockname(fd, bytes, Uint32Array.of(16)));
  return bytes.readUInt16BE(2);
}

/** Takes one waiting connection (non-blocking); WOULD_BLOCK or EXHAUSTED when it cannot. */
export function acceptFrom(listener: number, isTcp: boolean): number {
  const fd = libc.accept4(listener, null, null, CLOEXEC | NONBLOCK);
  if (fd < 0) {
    const code = errno();
    return code === ERRNO.EMFILE || code === ERRNO.ENFILE ? EXHAUSTED : WOULD_BLOCK;
  }
  if (isTcp) {
    setOption(fd, IPPROTO_TCP, TCP_NODELAY);
    setOption(fd, SOL_SOCKET, SO.KEEPALIVE);
    for (const [name, value] of Object.values(KEEP_ALIVE)) setOption(fd, IPPROTO_TCP, name, value);
  }
  return fd;
}

/** Who is at the other end of a Unix socket, as the kernel saw it connect. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  /** Its own group, then the supplementary ones. */
  readonly gids: readonly number[];
}

export function peerCredentials(fd: number): PeerCredentials {
  // struct ucred: pid, uid, gid
  const own = new Int32Array(3);
  const call = libc.getsockopt(fd, SOL_SOCKET, SO.PEERCRED, own, Uint32Array.of(own.byteLength));
  checkCall("getsockopt", call);
  const groups = new Int32Array(GROUPS_MAX);
  const bytes = Uint32Array.of(groups.byteLength);
  // Kernels before 4.13 do not tell: then the own group is all that is known.
  const told = libc.getsockopt(fd, SOL_SOCKET, SO.PEERGROUPS, groups, bytes);
  const others = told === 0 ? groups.subarray(0, (bytes[0] as number) / 4) : [];
  return { pid: own[0] as number, uid: own[1] as number, gids: [own[2] as number, ...others] };
}

/** Connects within `timeoutMs`. Throws WIRE when nobody listens, DEADLINE when it takes longer. */
export function connectTo(address: SocketAddress, timeoutMs: number): number {
  const fd = openSocket(address);
  const deadline = performance.now() + timeoutMs;
  let code = connectOnce(fd, address);
  // A TCP connection goes on by itself; a Unix socket with a full backlog wants to be asked again.
  while (code === ERRNO.EAGAIN && performance.now() < deadline) {
    Bun.sleepSync(RETRY_MS);
    code = connectOnce(fd, address);
  }
  if (code === ERRNO.EINPROGRESS) {
    code = waitFor(fd, POLL.OUT, deadline - performance.now()) ? socketError(fd) : ERRNO.EAGAIN;
  }
  if (code === 0) return fd;
  libc.close(fd);
  throw cannot("connect to", address, code);
}

function connectOnce(fd: number, address: SocketAddress): number {
  const bytes = encodeAddress(address);
  return libc.connect(fd, bytes, bytes.length) === 0 ? 0 : errno();
}

/** Does nobody listen on this socket any more? Only a refusal says so. */
export function isAbandoned(address: SocketAddress): boolean {
  const fd = openSocket(address);
  const code = connectOnce(fd, address);
  libc.close(fd);
  return code === ERRNO.ECONNREFUSED;
}

/** Receives what is there into `buffer`; CLOSED or WOULD_BLOCK when nothing is. */
export function receive(fd: number, buffer: Uint8Array): number {
  return outcome(Number(libc.recv(fd, buffer, buffer.length, 0)), true);
}

/** Sends what fits; CLOSED or WOULD_BLOCK when nothing does. */
export function send(fd: number, bytes: Uint8Array, count: number): number {
  return outcome(Number(libc.send(fd, bytes, count, MSG_NOSIGNAL)), false);
}

function outcome(result: number, zeroIsClosed: boolean): number {
  if (result > 0 || (result === 0 && !zeroIsClosed)) return result;
  if (result === 0) return CLOSED;
  const code = errno();
  return code === ERRNO.EAGAIN || code === ERRNO.EINTR ? WOULD_BLOCK : CLOSED;
}

/** Blocks until the socket can be read, at most `timeoutMs`; false when the time is over. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  return waitFor(fd, POLL.IN, timeoutMs);
}

export function waitWritable(fd: number, timeoutMs: number): boolean {
  return waitFor(fd, POLL.OUT, timeoutMs);
}

export function closeSocket(fd: number): void {
  libc.close(fd);
}

/** struct pollfd of the one socket that is waited for: file descriptor, events and their answer. */
const record = new Int32Array(2);
/** struct timespec: seconds and nanoseconds, in two words each. */
const timespec = new Int32Array(4);
const SECONDS_MAX = 2 ** 31 - 1;

function waitFor(fd: number, events: number, timeoutMs: number): boolean {
  const deadline = performance.now() + timeoutMs;
  record[0] = fd;
  record[1] = events;
  for (;;) {
    const leftMs = Math.max(0, deadline - performance.now());
    const seconds = Math.min(Math.floor(leftMs / 1e3), SECONDS_MAX);
    timespec[0] = seconds;
    timespec[2] = Math.min((leftMs - seconds * 1e3) * 1e6, 999_999_999);
    const ready = libc.ppoll(record, 1, timespec, null);
    if (ready > 0) return true;
    if (ready === 0) return false;
    if (errno() !== ERRNO.EINTR) checkCall("ppoll", ready);
  }
}

function socketError(fd: number): number {
  const code = new Int32Array(1);
  checkCall("getsockopt", libc.getsockopt(fd, SOL_SOCKET, SO.ERROR, code, Uint32Array.of(4)));
  return code[0] as number;
}

function cannot(action: string, address: SocketAddress, code: number): Lite3Error {
  const name = address.kind === "unix" ? address.path : `${address.host}:${address.port}`;
  const text = `Cannot ${action} ${quote(name)}`;
  switch (code) {
    case ERRNO.EADDRINUSE:
      return new Lite3Error("BUSY", `${text}: the address is in use, choose another`);
    case ERRNO.EAGAIN:
      return new Lite3Error("DEADLINE", `${text}: no answer in time, need a service there`);
    case ERRNO.ECONNREFUSED:
      return new Lite3Error("WIRE", `${text}: nobody listens, start lite3rl serve there`);
    case ERRNO.ENOENT:
      return new Lite3Error("WIRE", `${text}: there is no such socket, start lite3rl serve there`);
    default:
      return new Lite3Error(
        action === "listen on" ? "NATIVE" : "WIRE",
        `${text}: ${errnoText(code)}`,
      );
  }
}
