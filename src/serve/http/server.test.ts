import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, statSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { hostname } from "node:os";
import { join } from "node:path";
import { temporaryDirectory } from "../../base/directory_fixture.ts";
import { redirectLog } from "../../base/log.ts";
import { refusalOf } from "../../base/refusal_fixture.ts";
import { type HttpServer, isOurHost, startHttp } from "./server.ts";
import { type FilledView, filledView } from "./view_fixture.ts";

const LOOPBACK = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;

let view: FilledView;
let server: HttpServer;

beforeAll(async () => {
  view = filledView();
  server = await startHttp(LOOPBACK, view);
});

afterAll(() => {
  server[Symbol.dispose]();
  view[Symbol.dispose]();
});

/** Sends exactly these bytes; returns all that comes until the server ends the connection. */
function exchange(request: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  const socket = createConnection(Number(new URL(server.address).port), "127.0.0.1");
  socket.on("data", (bytes) => (received += String(bytes)));
  socket.on("close", () => resolve(received));
  socket.on("error", () => resolve(received));
  socket.write(request);
  return promise;
}

const lines = (...texts: readonly string[]): string => `${texts.join("\r\n")}\r\n\r\n`;
const statusOfAnswer = (text: string): string => /^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? text;

async function statusLine(first: string, ...headers: readonly string[]): Promise<string> {
  return statusOfAnswer(await exchange(lines(first, ...headers, "Connection: close")));
}

describe("startHttp()", () => {
  test("answers each path with its kind, never stored and for no other origin", async () => {
    const kinds = await Promise.all(
      ["", "metrics", "status.json", "healthz", "readyz"].map(async (path) => {
        const response = await fetch(`${server.address}${path}`);
        const { status, headers } = response;
        expect(headers.get("access-control-allow-origin")).toBeNull();
        expect(headers.get("cache-control")).toBe("no-store");
        expect(headers.get("x-content-type-options")).toBe("nosniff");
        expect(headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
        expect((await response.text()).length).toBeGreaterThan(0);
        return [path, status, headers.get("content-type")];
      }),
    );
    expect(kinds).toEqual([
      ["", 200, "text/html; charset=utf-8"],
      ["metrics", 200, "text/plain; version=0.0.4; charset=utf-8"],
      ["status.json", 200, "application/json"],
      ["healthz", 200, "text/plain; charset=utf-8"],
      ["readyz", 200, "text/plain; charset=utf-8"],
    ]);
  });

  test("answers HEAD without a body", async () => {
    const answer = await exchange(lines("HEAD /metrics HTTP/1.1", "Host: [::1]:1", CLOSE));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(answer).toMatch(/\r\n\r\n$/);
  });

  test("is healthy but not ready, with the reason, while no engine is", async () => {
    using starting = filledView();
    starting.change({ ready: false, why: "the model is being opened" });
    using other = await startHttp(LOOPBACK, starting);
    const ready = await fetch(`${other.address}readyz`);
    expect([ready.status, await ready.text()]).toEqual([
      503,
      "not ready: the model is being opened\n",
    ]);
    expect((await fetch(`${other.address}healthz`)).status).toBe(200);
  });

  test("refuses what is not a question to this server", async () => {
    const ours = "Host: 127.0.0.1";
    const long = "a".repeat(100_000);
    const answers = {
      foreignHost: await statusLine("GET / HTTP/1.1", "Host: attacker.example"),
      foreignHostAsTarget: await statusLine("GET http://attacker.example/ HTTP/1.1", `${ours}.x`),
      twoHosts: await statusLine("GET / HTTP/1.1", ours, "Host: attacker.example"),
      noHost: await statusLine("GET / HTTP/1.0"),
      post: await statusLine("POST / HTTP/1.1", ours, "Content-Length: 0"),
      delete: await statusLine("DELETE /metrics HTTP/1.1", ours),
      largeBody: await statusLine("POST / HTTP/1.1", ours, "Content-Length: 5000000000"),
      traversal: await statusLine("GET /../../etc/passwd HTTP/1.1", ours),
      encodedTraversal: await statusLine("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", ours),
      prototype: await statusLine("GET /__proto__ HTTP/1.1", ours),
      inherited: await statusLine("GET /constructor HTTP/1.1", ours),
      longUrl: await statusLine(`GET /${long} HTTP/1.1`, ours),
      longHeader: await statusLine("GET / HTTP/1.1", ours, `X: ${long}`),
      garbage: await statusLine("\x16\x03\x01\x02\x00\x01"),
    };
    expect(answers).toEqual({
      foreignHost: "421",
      foreignHostAsTarget: "421",
      twoHosts: "421",
      noHost: "421",
      post: "405",
      delete: "405",
      largeBody: "413",
      traversal: "404",
      encodedTraversal: "404",
      prototype: "404",
      inherited: "404",
      longUrl: "431",
      longHeader: "431",
      garbage: "400",
    });
    expect((await fetch(`${server.address}healthz`)).status).toBe(200);
  });

  test("answers 500 and goes on when the view fails", async () => {
    const failing = { ...view, snapshot: () => fail() };
    const said: string[] = [];
    redirectLog((line) => said.push(line));
    try {
      using other = await startHttp(LOOPBACK, failing);
      const paths = ["", "metrics", "status.json", "readyz"];
      const statuses = paths.map(async (path) => (await fetch(other.address + path)).status);
      expect(await Promise.all(statuses)).toEqual([500, 500, 500, 500]);
      expect((await fetch(`${other.address}healthz`)).status).toBe(200);
    } finally {
      redirectLog(undefined);
    }
    expect(said.length).toBe(4);
    expect(said[0]).toContain("HTTP: no snapshot today");
  });

  test("names the address when another program has it", async () => {
    const { port } = new URL(server.address);
    expect(await refusalOf(() => startHttp({ ...LOOPBACK, port: Number(port) }, view))).toEqual({
      code: "BUSY",
      message:
        `Cannot serve HTTP on "tcp:127.0.0.1:${port}": the address is in use, ` +
        "choose another --http",
    });
  });
});

const CLOSE = "Connection: close";

function fail(): never {
  throw new Error("no snapshot today");
}

describe("startHttp() on a Unix socket", () => {
  const path = join(temporaryDirectory(), "http.sock");

  test("is for its user alone, takes any host, and leaves nothing", async () => {
    {
      using socket = await startHttp({ kind: "unix", path }, view);
      expect(socket.address).toBe(`unix:${path}`);
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const response = await fetch("http://proxied.example/readyz", { unix: path });
      expect(response.status).toBe(200);
      expect((await refusalOf(() => startHttp({ kind: "unix", path }, view))).code).toBe("BUSY");
    }
    expect([existsSync(path), existsSync(`${path}.lock`)]).toEqual([false, false]);
  });

  test("leaves a file alone that is not a socket", async () => {
    writeFileSync(path, "mine");
    expect((await refusalOf(() => startHttp({ kind: "unix", path }, view))).code).toBe("CONFIG");
    expect([existsSync(path), existsSync(`${path}.lock`)]).toEqual([true, false]);
  });
});

test("isOurHost() takes addresses and own names, and no name of a foreign name server", () => {
  const own = hostname();
  const ours = ["127.0.0.1", "127.0.0.1:3589", "LOCALHOST:1", "[::1]:3589", "192.168.1.9", own];
  const foreign = [null, "", "attacker.example", "127.0.0.1.attacker.example", "localhost.", "::1"];
  expect(ours.filter((host) => !isOurHost(host))).toEqual([]);
  expect(foreign.filter(isOurHost)).toEqual([]);
});
