import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../src/base/directory_fixture.ts";
import { refusalOf } from "../src/base/refusal_fixture.ts";
import { monotonicUs } from "./clock.ts";
import { libc } from "./libc.ts";
import {
  acceptFrom,
  boundPort,
  CLOSED,
  closeSocket,
  connectTo,
  encodeAddress,
  isAbandoned,
  listenOn,
  peerCredentials,
  receive,
  send,
  type SocketAddress,
  waitReadable,
  waitWritable,
  WOULD_BLOCK,
} from "./socket.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const open: number[] = [];
let count = 0;

afterEach(() => {
  for (const fd of open.splice(0)) closeSocket(fd);
  count++;
});

const unixPath = (): string => join(directory, `s${count}`);
const keep = (fd: number): number => {
  open.push(fd);
  return fd;
};

function listenUnix(): { listener: number; address: SocketAddress } {
  const address = { kind: "unix", path: unixPath() } as const;
  return { listener: keep(listenOn(address)), address };
}

function connected(): { client: number; server: number } {
  const { listener, address } = listenUnix();
  const client = keep(connectTo(address, 1000));
  return { client, server: keep(acceptFrom(listener, false)) };
}

test("encodeAddress() gives sockaddr_un and sockaddr_in", () => {
  expect(encodeAddress({ kind: "unix", path: "/tmp/ä" }).toString("hex")).toBe(
    `0100${Buffer.from("/tmp/ä").toString("hex")}00`,
  );
  expect(encodeAddress({ kind: "tcp", host: "127.0.0.1", port: 3588 }).toString("hex")).toBe(
    "02000e047f0000010000000000000000",
  );
});

test("send() and receive() carry bytes both ways, and say when there are none", () => {
  const { client, server } = connected();
  const buffer = new Uint8Array(8);
  expect(receive(server, buffer)).toBe(WOULD_BLOCK);
  expect(waitReadable(server, 0)).toBe(false);
  expect(send(client, Uint8Array.of(1, 2, 3, 4), 3)).toBe(3);
  expect(waitReadable(server, 1000)).toBe(true);
  expect([receive(server, buffer), ...buffer]).toEqual([3, 1, 2, 3, 0, 0, 0, 0, 0]);
  expect(send(server, Uint8Array.of(9), 1)).toBe(1);
  expect([receive(client, buffer), buffer[0]]).toEqual([1, 9]);
});

test("waitReadable() waits for parts of a millisecond, and never shorter", () => {
  const { server } = connected();
  const waits = Array.from({ length: 200 }, () => {
    const startedUs = monotonicUs();
    expect(waitReadable(server, 0.3)).toBe(false);
    return monotonicUs() - startedUs;
  });
  // Some of so many are not disturbed, on whatever machine.
  const shortest = Math.min(...waits);
  expect(shortest).toBeGreaterThanOrEqual(299);
  expect(shortest).toBeLessThan(900);
});

test("send() sends what fits, then says WOULD_BLOCK until the other side reads", () => {
  const { client, server } = connected();
  const bytes = new Uint8Array(4 << 20);
  const sent = send(client, bytes, bytes.length);
  expect(sent).toBeWithin(1, bytes.length);
  while (send(client, bytes, 65_536) > 0);
  expect(send(client, bytes, 65_536)).toBe(WOULD_BLOCK);
  expect(waitWritable(client, 0)).toBe(false);
  while (receive(server, bytes) > 0);
  expect(waitWritable(client, 1000)).toBe(true);
});

test("send() and receive() say CLOSED when the other side is gone", () => {
  const { client, server } = connected();
  closeSocket(server);
  open.splice(open.indexOf(server), 1);
  expect(receive(client, new Uint8Array(1))).toBe(CLOSED);
  expect(send(client, new Uint8Array(1), 1)).toBe(CLOSED);
});

test("listenOn() makes a Unix socket of mode 0600 and leaves the umask as it was", () => {
  const umask = process.umask();
  const { address } = listenUnix();
  expect(statSync((address as { path: string }).path).mode & 0o777).toBe(0o600);
  expect(process.umask()).toBe(umask);
});

test("listenOn() throws BUSY where somebody listens, and NATIVE where it cannot", async () => {
  const { address } = listenUnix();
  expect(await refusalOf(() => listenOn(address))).toEqual({
    code: "BUSY",
    message: `Cannot listen on "${unixPath()}": the address is in use, choose another`,
  });
  expect(await refusalOf(() => listenOn({ kind: "tcp", host: "192.0.2.1", port: 0 }))).toEqual({
    code: "NATIVE",
    message: 'Cannot listen on "192.0.2.1:0": EADDRNOTAVAIL, address not available',
  });
});

test("connectTo() throws WIRE where nobody listens", async () => {
  const tcp = listenOn({ kind: "tcp", host: "127.0.0.1", port: 0 });
  const port = boundPort(tcp);
  closeSocket(tcp);
  expect(await refusalOf(() => connectTo({ kind: "tcp", host: "127.0.0.1", port }, 1000))).toEqual({
    code: "WIRE",
    message: `Cannot connect to "127.0.0.1:${port}": nobody listens, start lite3rl serve there`,
  });
  const path = unixPath();
  expect(await refusalOf(() => connectTo({ kind: "unix", path }, 1000))).toEqual({
    code: "WIRE",
    message: `Cannot connect to "${path}": there is no such socket, start lite3rl serve there`,
  });
  writeFileSync(path, "");
  expect(() => connectTo({ kind: "unix", path }, 1000)).toThrow("nobody listens");
});

test("connectTo() throws DEADLINE at a full backlog, and gets in once there is room", async () => {
  const { listener, address } = listenUnix();
  const fill = (): void => {
    for (;;) keep(connectTo(address, 20));
  };
  expect(await refusalOf(fill)).toEqual({
    code: "DEADLINE",
    message: `Cannot connect to "${unixPath()}": no answer in time, need a service there`,
  });
  keep(acceptFrom(listener, false));
  const client = keep(connectTo(address, 1000));
  expect(send(client, Uint8Array.of(1), 1)).toBe(1);
});

test("acceptFrom() says WOULD_BLOCK when nobody waits", () => {
  const { listener } = listenUnix();
  expect(acceptFrom(listener, false)).toBe(WOULD_BLOCK);
});

test("isAbandoned() is true only for a socket that refuses", () => {
  const { listener, address } = listenUnix();
  expect(isAbandoned(address)).toBe(false);
  closeSocket(listener);
  open.splice(open.indexOf(listener), 1);
  expect(isAbandoned(address)).toBe(true);
  expect(isAbandoned({ kind: "unix", path: join(directory, "none") })).toBe(false);
});

test("isAbandoned() is false for a living socket of another kind", async () => {
  const path = unixPath();
  const script = `import socket,sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print(flush=True)
sys.stdin.read()`;
  const python = Bun.spawn(["python3", "-c", script, path], { stdin: "pipe", stdout: "pipe" });
  await python.stdout[Symbol.asyncIterator]().next();
  expect(isAbandoned({ kind: "unix", path })).toBe(false);
  await python.stdin.end();
  expect(await python.exited).toBe(0);
});

test("peerCredentials() names who connected, with all of his groups", () => {
  const { listener, address } = listenUnix();
  keep(connectTo(address, 1000));
  const { pid, uid, gids } = peerCredentials(keep(acceptFrom(listener, false)));
  expect({ pid, uid }).toEqual({ pid: process.pid, uid: process.getuid?.() ?? -1 });
  const groups = new Set([process.getgid?.() ?? -1, ...(process.getgroups?.() ?? [])]);
  expect(new Set(gids)).toEqual(groups);
});

test("acceptFrom() has the kernel notice a TCP client that is cut off", () => {
  const listener = keep(listenOn({ kind: "tcp", host: "127.0.0.1", port: 0 }));
  keep(connectTo({ kind: "tcp", host: "127.0.0.1", port: boundPort(listener) }, 1000));
  const fd = keep(acceptFrom(listener, true));
  const option = (level: number, name: number): number => {
    const value = new Int32Array(1);
    libc.getsockopt(fd, level, name, value, Uint32Array.of(4));
    return value[0] as number;
  };
  // SO_KEEPALIVE; TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_NODELAY
  expect([option(1, 9), ...[4, 5, 6, 1].map((name) => option(6, name))]).toEqual([1, 15, 5, 3, 1]);
});
