import { expect, test } from "bun:test";
import { messagePair, MessageSocket } from "../../ffi/message_socket.ts";
import { CLOSED, closeSocket, receive, socketPair, WOULD_BLOCK } from "../../ffi/socket.ts";
import type { SavedConnection } from "./connection.ts";
import { sendConnection, Takeover } from "./hand_over.ts";

function pair(): [MessageSocket, Takeover] {
  const [a, b] = messagePair();
  return [new MessageSocket(a), new Takeover(new MessageSocket(b))];
}

test("Takeover.receive() gives connections whole, also those of more bytes than a message", () => {
  const [from, takeover] = pair();
  const [near, far] = socketPair();
  const input = Uint8Array.from({ length: 150_000 }, (_, i) => i % 251);
  const saved: SavedConnection = {
    kind: "unix",
    protocol: "framed",
    ending: "why",
    input,
    output: Uint8Array.of(1, 2, 3),
  };
  const small: SavedConnection = {
    kind: "tcp",
    protocol: "unknown",
    input: new Uint8Array(0),
    output: new Uint8Array(0),
  };
  expect(sendConnection(from, far, saved)).toBe(true);
  expect(sendConnection(from, far, small)).toBe(true);
  closeSocket(far);
  from[Symbol.dispose]();
  const got = [takeover.receive(), takeover.receive()];
  const plain = got.map((taken) => ({
    ...taken?.saved,
    input: Uint8Array.from(taken?.saved.input ?? []),
    output: Uint8Array.from(taken?.saved.output ?? []),
  }));
  expect(plain as unknown[]).toEqual([saved, small]);
  expect(takeover.isOver).toBe(false);
  expect([takeover.receive(), takeover.isOver]).toEqual([undefined, true]);
  for (const taken of got) closeSocket(taken?.fd ?? -1);
  expect(receive(near, new Uint8Array(1))).toBe(CLOSED);
  closeSocket(near);
  takeover[Symbol.dispose]();
});

test("Takeover closes a connection of which the old engine sent a part before it died", () => {
  const [from, takeover] = pair();
  const [near, far] = socketPair();
  const head = { kind: "unix", protocol: "raw", inputBytes: 10, outputBytes: 0 };
  from.send(Buffer.from(JSON.stringify(head)), [far]);
  closeSocket(far);
  from.send(new Uint8Array(4));
  from[Symbol.dispose]();
  expect([takeover.receive(), takeover.isOver]).toEqual([undefined, true]);
  expect(receive(near, new Uint8Array(1))).toBe(WOULD_BLOCK);
  takeover[Symbol.dispose]();
  expect(receive(near, new Uint8Array(1))).toBe(CLOSED);
  closeSocket(near);
});

test("sendConnection() is false when the next engine is gone", () => {
  const [from, takeover] = pair();
  takeover[Symbol.dispose]();
  const [near, far] = socketPair();
  const nothing = new Uint8Array(0);
  const saved = { kind: "unix", protocol: "raw", input: nothing, output: nothing } as const;
  expect(sendConnection(from, far, saved)).toBe(false);
  for (const fd of [near, far]) closeSocket(fd);
  from[Symbol.dispose]();
});
