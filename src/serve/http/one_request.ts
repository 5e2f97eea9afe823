/**
 * HTTP by connections of one request each, and few of them: whatever a client does, it costs this
 * process, which has engines to look after, a bounded time and memory. Bun.serve has no such
 * bounds: it answers any number of pipelined requests before anything else has its turn. Its
 * node:http has some, but ends an idle connection only a second after it was told to, and the
 * newest instead of the oldest (Bun 1.4.5).
 */

import { rmSync } from "node:fs";
import type { SocketAddress } from "../../../ffi/socket.ts";

export interface HttpRequest {
  readonly method: string;
  /** As it was sent, from the path on. */
  readonly target: string;
  /** Of the header and, if it has one, of the target. */
  readonly hosts: readonly string[];
  /** What follows the head; it is not read. */
  readonly bodyBytes: number;
}

export interface HttpAnswer {
  readonly status: keyof typeof REASONS;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface HttpListener extends Disposable {
  readonly port: number;
}

export const REASONS = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  413: "Content Too Large",
  421: "Misdirected Request",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  503: "Service Unavailable",
} as const;

/** Where one more comes, the one that is longest there goes: it had its time. */
const CONNECTIONS_MAX = 32;
/** Browsers send one or two thousand bytes. */
const HEAD_BYTES_MAX = 16 << 10;
/** From the first byte asked to the last one read. */
const LIFE_MS = 10_000;
const HEAD_END = "\r\n\r\n";

interface Connection {
  head: string;
  /** What is still to be sent, once the request is there. */
  rest: Uint8Array | undefined;
  isAsked: boolean;
  timer: Timer | undefined;
}

type Socket = Bun.Socket<Connection>;

/**
 * Listens until disposed. What Bun throws where the address cannot be bound is thrown on.
 * @param answer must not throw; a head that is none is answered without it, with `refuse`
 */
export function listenForRequests(
  address: SocketAddress,
  answer: (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>,
  refuse: (status: 400 | 431) => HttpAnswer,
): HttpListener {
  const open = new Set<Socket>();
  const reply = async (socket: Socket, head: string | undefined): Promise<void> => {
    socket.data.isAsked = true;
    const request = head === undefined ? undefined : parseHead(head);
    const said =
      request === undefined ? refuse(head === undefined ? 431 : 400) : await answer(request);
    socket.data.rest = encodeAnswer(said, request?.method !== "HEAD");
    send(socket);
  };
  const handlers: Bun.SocketHandler<Connection> = {
    open(socket) {
      const timer = setTimeout(() => socket.terminate(), LIFE_MS);
      socket.data = { head: "", rest: undefined, isAsked: false, timer };
      const [oldest] = open;
      if (open.size >= CONNECTIONS_MAX) oldest?.terminate();
      open.add(socket);
    },
    data(socket, bytes) {
      const { data } = socket;
      if (data.isAsked) return;
      data.head += bytes.toString("latin1", 0, HEAD_BYTES_MAX + 1);
      const end = data.head.indexOf(HEAD_END);
      if (end >= 0 && end <= HEAD_BYTES_MAX) void reply(socket, data.head.slice(0, end));
      else if (data.head.length > HEAD_BYTES_MAX) void reply(socket, undefined);
    },
    drain: send,
    close(socket) {
      clearTimeout(socket.data.timer);
      open.delete(socket);
    },
    error: (socket) => void socket.terminate(),
  };
  const listener =
    address.kind === "unix"
      ? Bun.listen<Connection>({ unix: address.path, socket: handlers })
      : // Said, because Bun lets several programs share a port.
        Bun.listen<Connection>({
          hostname: address.host,
          port: address.port,
          exclusive: true,
          socket: handlers,
        });
  return {
    port: "port" in listener ? Number(listener.port) : 0,
    [Symbol.dispose]() {
      for (const socket of open) clearTimeout(socket.data.timer);
      listener.stop(true);
      if (address.kind === "unix") rmSync(address.path, { force: true });
    },
  };
}

/** Sends what fits; after the last byte the client closes, who may still be sending. */
function send(socket: Socket): void {
  const { rest } = socket.data;
  if (rest === undefined) return;
  const sent = socket.write(rest);
  if (sent < 0) socket.terminate();
  else if (sent === rest.length) socket.shutdown();
  socket.data.rest = sent === rest.length ? undefined : rest.subarray(Math.max(0, sent));
}

/** The request's line and headers; undefined for what is no HTTP. */
function parseHead(head: string): HttpRequest | undefined {
  const [first = "", ...lines] = head.split("\r\n");
  const [, method = "", at = ""] = /^([A-Z]+) ([!-~]+) HTTP\/1\.[01]$/.exec(first) ?? [];
  const [, authority, target = ""] = /^(?:https?:\/\/([^/?]*))?(\/.*)?$/i.exec(at) ?? [];
  const headers = lines.map((line) => /^([\w-]+):[ \t]*(.*?)[ \t]*$/.exec(line));
  if (method === "" || headers.includes(null)) return undefined;
  const valuesOf = (wanted: string): string[] =>
    headers.flatMap((header) => {
      const [, name = "", value = ""] = header ?? [];
      return name.toLowerCase() === wanted ? [value] : [];
    });
  return {
    method,
    target,
    hosts: [...valuesOf("host"), ...(authority === undefined ? [] : [authority])],
    bodyBytes: Number(valuesOf("content-length")[0] ?? 0),
  };
}

function encodeAnswer({ status, headers, body }: HttpAnswer, hasBody: boolean): Uint8Array {
  const bytes = Buffer.from(body);
  const all = { ...headers, "Content-Length": String(bytes.length), Connection: "close" };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}`);
  const head = [`HTTP/1.1 ${status} ${REASONS[status]}`, ...lines].join("\r\n") + HEAD_END;
  return Buffer.concat([Buffer.from(head), ...(hasBody ? [bytes] : [])]);
}
