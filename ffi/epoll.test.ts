import { afterEach, beforeEach, expect, test } from "bun:test";
import { refusalOf } from "../src/base/refusal_fixture.ts";
import { EPOLL, Epoll } from "./epoll.ts";
import {
  acceptFrom,
  boundPort,
  closeSocket,
  connectTo,
  listenOn,
  receive,
  send,
} from "./socket.ts";

/** Both ends of some connections, and a set to watch them with. */
let listener: number;
let epoll: Epoll;
const open: number[] = [];

beforeEach(() => {
  listener = listenOn({ kind: "tcp", host: "127.0.0.1", port: 0 });
  open.push(listener);
  epoll = new Epoll(8);
});

afterEach(() => {
  epoll[Symbol.dispose]();
  for (const fd of open.splice(0)) closeSocket(fd);
});

function connect(): { client: number; server: number } {
  const client = connectTo({ kind: "tcp", host: "127.0.0.1", port: boundPort(listener) }, 2000);
  const server = acceptFrom(listener, true);
  open.push(client, server);
  return { client, server };
}

/** What one wait reports, by descriptor. */
function waitFor(timeoutMs = 2000): Record<number, number> {
  const count = epoll.wait(timeoutMs);
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => [epoll.fdAt(i), epoll.eventsAt(i)]),
  );
}

test("Epoll reports the descriptors that are ready, each with its own events", () => {
  const pairs = [connect(), connect(), connect()];
  for (const { server } of pairs) epoll.add(server, EPOLL.IN);
  expect(waitFor(0)).toEqual({});
  send(pairs[2]!.client, Uint8Array.of(1), 1);
  send(pairs[0]!.client, Uint8Array.of(1), 1);
  const ready = { [pairs[0]!.server]: EPOLL.IN, [pairs[2]!.server]: EPOLL.IN };
  // TCP may deliver the two bytes one after the other.
  while (Object.keys(waitFor()).length < 2);
  expect(waitFor()).toEqual(ready);
  epoll.modify(pairs[1]!.server, EPOLL.OUT);
  expect(waitFor()).toEqual({ ...ready, [pairs[1]!.server]: EPOLL.OUT });
  for (const { server } of pairs) receive(server, new Uint8Array(1));
  epoll.remove(pairs[1]!.server);
  expect(waitFor(0)).toEqual({});
});

test("Epoll reports a listener with somebody waiting, and a client that left", () => {
  epoll.add(listener, EPOLL.IN);
  const { client, server } = connect();
  expect(waitFor(0)).toEqual({});
  const next = connectTo({ kind: "tcp", host: "127.0.0.1", port: boundPort(listener) }, 2000);
  expect(waitFor()).toEqual({ [listener]: EPOLL.IN });
  epoll.remove(listener);
  epoll.add(server, EPOLL.IN);
  closeSocket(client);
  open.splice(open.indexOf(client), 1);
  closeSocket(next);
  const seen = waitFor();
  expect(Object.keys(seen)).toEqual([String(server)]);
  expect(seen[server]! & EPOLL.IN).toBe(EPOLL.IN);
});

test("Epoll gives no more events at once than its capacity, and the others later", () => {
  epoll[Symbol.dispose]();
  epoll = new Epoll(2);
  const pairs = [connect(), connect(), connect(), connect(), connect()];
  for (const { server } of pairs) epoll.add(server, EPOLL.OUT);
  const seen = new Set<number>();
  for (let i = 0; i < 10; i++) {
    const ready = Object.keys(waitFor()).map(Number);
    expect(ready.length).toBeLessThanOrEqual(2);
    for (const fd of ready) seen.add(fd);
  }
  expect([...seen].sort()).toEqual(pairs.map(({ server }) => server).sort());
});

test("Epoll waits as long as it is told when nothing happens", () => {
  const started = performance.now();
  expect(epoll.wait(30)).toBe(0);
  expect(performance.now() - started).toBeGreaterThanOrEqual(29);
});

test("Epoll throws NATIVE for a descriptor that it cannot watch", async () => {
  expect(await refusalOf(() => epoll.add(-1, EPOLL.IN))).toEqual({
    code: "NATIVE",
    message: "The system call epoll_ctl failed: EBADF, bad file descriptor",
  });
  const { server } = connect();
  expect(() => epoll.remove(server)).toThrow("epoll_ctl failed: ENOENT");
});
