/**
 * Addresses as users write them: `unix:PATH`, `tcp:HOST:PORT`, and `--tcp [host:port]`.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { SocketAddress } from "../../ffi/socket.ts";

/** The blueprint's socket. */
export const DEFAULT_SOCKET = "/tmp/lite3_policy.sock";
/** Loopback only: policies answer whoever asks. */
export const DEFAULT_TCP = { kind: "tcp", host: "127.0.0.1", port: 3588 } as const;

export function isEndpoint(text: string): boolean {
  return /^(?:unix|tcp):/.test(text);
}

/** `unix:/tmp/x.sock` or `tcp:127.0.0.1:3588`. */
export function parseEndpoint(text: string): SocketAddress {
  if (text.startsWith("unix:")) return unixAddress(text.slice(5));
  if (text.startsWith("tcp:")) return tcpAddress(text.slice(4));
  throw new Lite3Error(
    "USAGE",
    `Cannot use endpoint ${quote(text)}: need unix:PATH or tcp:HOST:PORT`,
  );
}

/** Checks that the path fits into a socket address. */
export function unixAddress(path: string): SocketAddress {
  const bytes = Buffer.byteLength(path);
  if (bytes === 0 || bytes > LIMITS.socketPathBytes || path.includes("\0")) {
    throw new Lite3Error(
      "USAGE",
      `Cannot use socket path ${quote(path)}: it has ${bytes} bytes, ` +
        `a Unix socket's path has 1 to ${LIMITS.socketPathBytes}; choose a shorter one`,
    );
  }
  return { kind: "unix", path };
}

/** `host:port`, `:port`, `port` or `host`; what is left out is 127.0.0.1 and 3588. */
export function tcpAddress(text: string): SocketAddress {
  const parts = /^(?:([^:]*):)?(\d{1,5})$/.exec(text) ?? /^([^:]+)()$/.exec(text);
  const host = parts?.[1] || DEFAULT_TCP.host;
  const port = parts?.[2] ? Number(parts[2]) : DEFAULT_TCP.port;
  const numeric = host === "localhost" ? "127.0.0.1" : host;
  const isIpv4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/.test(numeric);
  if (parts === null || !isIpv4 || port > 65_535) {
    throw new Lite3Error(
      "USAGE",
      `Cannot use address ${quote(text)}: need HOST:PORT with an IPv4 address and a port up to ` +
        "65535, such as 127.0.0.1:3588",
    );
  }
  return { kind: "tcp", host: numeric, port };
}

/** `unix:/tmp/x.sock`, as it is written on the command line. */
export function describeAddress(address: SocketAddress): string {
  return address.kind === "unix" ? `unix:${address.path}` : `tcp:${address.host}:${address.port}`;
}
