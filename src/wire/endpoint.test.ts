import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  DEFAULT_TCP,
  describeAddress,
  isEndpoint,
  parseEndpoint,
  tcpAddress,
  unixAddress,
} from "./endpoint.ts";

const port = fc.integer({ min: 0, max: 65_535 });

describe("parseEndpoint()", () => {
  const good = {
    "unix:/tmp/x.sock": { kind: "unix", path: "/tmp/x.sock" },
    "unix:relative": { kind: "unix", path: "relative" },
    "unix:/tmp/tcp:1": { kind: "unix", path: "/tmp/tcp:1" },
    "tcp:127.0.0.1:3588": { kind: "tcp", host: "127.0.0.1", port: 3588 },
    "tcp:localhost:80": { kind: "tcp", host: "127.0.0.1", port: 80 },
    "tcp:10.0.0.7": { kind: "tcp", host: "10.0.0.7", port: 3588 },
    "tcp:4000": { kind: "tcp", host: "127.0.0.1", port: 4000 },
    "tcp::4000": { kind: "tcp", host: "127.0.0.1", port: 4000 },
    "tcp:0.0.0.0:0": { kind: "tcp", host: "0.0.0.0", port: 0 },
  } as const;
  for (const [text, address] of Object.entries(good)) {
    test(`reads ${text}`, () => expect(parseEndpoint(text)).toEqual(address));
  }

  for (const text of ["", "/tmp/x.sock", "127.0.0.1:3588", "udp:1.2.3.4:5", "UNIX:/x", " unix:x"]) {
    test(`refuses ${JSON.stringify(text)}`, async () => {
      expect(await refusalOf(() => parseEndpoint(text))).toEqual({
        code: "USAGE",
        message: `Cannot use endpoint ${JSON.stringify(text)}: need unix:PATH or tcp:HOST:PORT`,
      });
      expect(isEndpoint(text)).toBe(false);
    });
  }

  test("reads what describeAddress() writes", () => {
    const host = fc.ipV4();
    const tcp = fc.record({ kind: fc.constant("tcp" as const), host, port });
    const path = fc
      .string({ minLength: 1, maxLength: 100, unit: "grapheme-ascii" })
      .filter((text) => !text.includes("\0"));
    const unix = fc.record({ kind: fc.constant("unix" as const), path });
    fc.assert(
      fc.property(fc.oneof(tcp, unix), (address) => {
        const text = describeAddress(address);
        expect(isEndpoint(text)).toBe(true);
        expect(parseEndpoint(text)).toEqual(address);
      }),
      { seed: 1 },
    );
  });
});

describe("tcpAddress()", () => {
  const bad = [
    "",
    ":",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:-1",
    "127.0.0.1:80:80",
    "127.0.0.1: 80",
    "127.0.0.1:8e3",
    "127.0.0:80",
    "127.0.0.1.1:80",
    "127.0.0.1.:80",
    ".127.0.0.1:80",
    "256.0.0.1:80",
    "1.2.3.1000:80",
    "1.2.3.-4:80",
    "a.b.c.d:80",
    "robot:80",
    "robot",
    "::1",
    "[::1]:80",
    "*:80",
    "99999",
    "123456",
  ];
  for (const text of bad) {
    test(`refuses ${JSON.stringify(text)}`, async () => {
      expect(await refusalOf(() => tcpAddress(text))).toEqual({
        code: "USAGE",
        message:
          `Cannot use address ${JSON.stringify(text)}: need HOST:PORT with an IPv4 address and a ` +
          "port up to 65535, such as 127.0.0.1:3588",
      });
    });
  }

  test("takes every IPv4 address and port, and nothing with a number too large", () => {
    fc.assert(
      fc.property(fc.ipV4(), port, (host, number) => {
        expect(tcpAddress(`${host}:${number}`)).toEqual({ kind: "tcp", host, port: number });
      }),
      { seed: 2 },
    );
    const octets = fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(octets, fc.integer({ min: 0, max: 99_999 }), (parts, number) => {
        const text = `${parts.join(".")}:${number}`;
        const isValid =
          parts.length === 4 && parts.every((part) => part <= 255) && number <= 65_535;
        if (isValid) expect(tcpAddress(text)).toMatchObject({ port: number });
        else expect(() => tcpAddress(text)).toThrow("Cannot use address");
      }),
      { seed: 3, numRuns: 1000 },
    );
  });

  test("fills in 127.0.0.1 and 3588", () => {
    expect([tcpAddress("10.1.2.3"), tcpAddress("99"), tcpAddress("localhost")]).toEqual([
      { kind: "tcp", host: "10.1.2.3", port: DEFAULT_TCP.port },
      { kind: "tcp", host: DEFAULT_TCP.host, port: 99 },
      DEFAULT_TCP,
    ]);
  });
});

describe("unixAddress()", () => {
  test("takes paths of 1 to 107 bytes, counted in UTF-8", () => {
    for (const path of ["x", "x".repeat(107), `${"é".repeat(53)}x`]) {
      expect(unixAddress(path)).toEqual({ kind: "unix", path });
    }
  });

  const bad: readonly [path: string, bytes: number][] = [
    ["", 0],
    ["x".repeat(108), 108],
    ["é".repeat(54), 108],
    ["a\0b", 3],
    ["\0abstract", 9],
  ];
  for (const [path, bytes] of bad) {
    test(`refuses ${JSON.stringify(path).slice(0, 20)}, ${bytes} bytes`, async () => {
      expect(await refusalOf(() => unixAddress(path))).toEqual({
        code: "USAGE",
        message:
          `Cannot use socket path ${JSON.stringify(path)}: it has ${bytes} bytes, ` +
          "a Unix socket's path has 1 to 107; choose a shorter one",
      });
    });
  }
});
