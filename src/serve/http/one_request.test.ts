import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createConnection, type Socket } from "node:net";
import { type HttpListener, type HttpRequest, listenForRequests } from "./one_request.ts";

const LOOPBACK = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
const LONG = "a line\n".repeat(1 << 20);

let listener: HttpListener;
const asked: HttpRequest[] = [];

beforeAll(() => {
  listener = listenForRequests(
    LOOPBACK,
    (request) => {
      asked.push(request);
      return { status: 200, headers: { X: "y" }, body: request.target === "/long" ? LONG : "hi\n" };
    },
    (status) => ({ status, headers: {}, body: "" }),
  );
});
afterAll(() => listener[Symbol.dispose]());

/** A connection and everything that comes of it until it is closed. */
async function connect(): Promise<{ socket: Socket; all: Promise<string> }> {
  const socket = createConnection(listener.port, "127.0.0.1");
  const { promise: all, resolve } = Promise.withResolvers<string>();
  let text = "";
  socket.on("data", (bytes) => (text += String(bytes)));
  socket.on("error", () => {});
  socket.on("close", () => resolve(text));
  const { promise: opened, resolve: open } = Promise.withResolvers<void>();
  socket.on("connect", open);
  await opened;
  return { socket, all };
}

const HEAD = "GET / HTTP/1.1\r\nHost: here\r\n\r\n";
const ANSWER = "HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 3\r\nConnection: close\r\n\r\nhi\n";

describe("listenForRequests()", () => {
  test("answers one request of a connection, however its bytes come", async () => {
    for (const cut of [1, 17, HEAD.length - 1]) {
      const { socket, all } = await connect();
      socket.write(HEAD.slice(0, cut));
      await Bun.sleep(1);
      socket.write(HEAD.slice(cut));
      expect(await all).toBe(ANSWER);
    }
    asked.length = 0;
    const { socket, all } = await connect();
    socket.write(HEAD.repeat(1000));
    expect(await all).toBe(ANSWER);
    expect(asked).toEqual([{ method: "GET", target: "/", hosts: ["here"], bodyBytes: 0 }]);
  });

  test("sends all of a long answer to who reads it slowly", async () => {
    const { socket, all } = await connect();
    socket.write("GET /long HTTP/1.1\r\nHost: here\r\n\r\n");
    socket.pause();
    await Bun.sleep(50);
    socket.resume();
    const text = await all;
    expect(text.slice(text.indexOf("\r\n\r\n") + 4) === LONG).toBe(true);
  });

  test("lets go of who is longest there where too many come, and answers the others", async () => {
    const idle = [];
    for (let i = 0; i < 40; i++) idle.push(await connect());
    const { socket, all } = await connect();
    socket.write(HEAD);
    expect(await all).toBe(ANSWER);
    for (const { all: rest } of idle.slice(0, 9)) expect(await rest).toBe("");
    for (const { socket: one, all: rest } of idle.slice(9)) {
      one.write(HEAD);
      expect(await rest).toBe(ANSWER);
    }
  });

  test("refuses what is no request, or does not end", async () => {
    const statuses = [];
    for (const head of [
      "\r\n\r\n",
      "GET /\r\n\r\n",
      "GET / HTTP/1.1\r\nX\r\n\r\n",
      "x".repeat(1 << 20),
    ]) {
      const { socket, all } = await connect();
      socket.write(head);
      statuses.push((await all).slice(9, 12));
    }
    expect(statuses).toEqual(["400", "400", "400", "431"]);
  });
});
