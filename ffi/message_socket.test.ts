import { expect, test } from "bun:test";
import { closeSync, fstatSync, openSync } from "node:fs";
import { MESSAGE_BYTES_MAX, messagePair, MessageSocket } from "./message_socket.ts";

function pair(): [MessageSocket, MessageSocket] {
  const [a, b] = messagePair();
  return [new MessageSocket(a), new MessageSocket(b)];
}

test("MessageSocket passes bytes and file descriptors, message by message", () => {
  const [a, b] = pair();
  const sent = ["/dev/null", "/dev/zero"].map((path) => openSync(path, "r"));
  expect(a.send(Buffer.from("one"), sent)).toBe(true);
  expect(a.send(new Uint8Array(MESSAGE_BYTES_MAX).fill(7))).toBe(true);
  const one = b.receive();
  expect(Buffer.from(one?.bytes ?? []).toString()).toBe("one");
  const devices = (fds: readonly number[] = []): number[] => fds.map((fd) => fstatSync(fd).rdev);
  expect(devices(one?.fds)).toEqual(devices(sent));
  for (const fd of [...sent, ...(one?.fds ?? [])]) closeSync(fd);
  const two = b.receive();
  expect([two?.bytes.length, two?.bytes.at(-1), two?.fds]).toEqual([MESSAGE_BYTES_MAX, 7, []]);
  expect(b.receive()).toBeUndefined();
  a[Symbol.dispose]();
  expect(b.receive()).toBeNull();
  expect(b.send(Buffer.from("gone"))).toBe(false);
  b[Symbol.dispose]();
});

test("MessageSocket.send() throws DEADLINE when nobody reads", () => {
  const [a, b] = pair();
  const flood = (): void => {
    for (let i = 0; i < 1000; i++) a.send(new Uint8Array(MESSAGE_BYTES_MAX), [], 20);
  };
  expect(flood).toThrow(expect.objectContaining({ code: "DEADLINE" }));
  a[Symbol.dispose]();
  b[Symbol.dispose]();
});
