/**
 * The service's listening socket: a stale Unix socket is taken over, a live one and anything that
 * is not a socket is left alone. A lock file beside it keeps two starting services apart.
 */

import { closeSync, constants, fstatSync, lstatSync, openSync, rmSync, type Stats } from "node:fs";
import { libc } from "../../ffi/libc.ts";
import {
  boundPort,
  closeSocket,
  isAbandoned,
  listenOn,
  type SocketAddress,
} from "../../ffi/socket.ts";
import { Lite3Error, quote } from "../base/errors.ts";

/** sys/file.h: exclusive, and without waiting. */
const LOCK_EX_NB = 2 | 4;

export interface Listener extends Disposable {
  readonly fd: number;
  /** With the port that the system chose, where port 0 was asked for. */
  readonly address: SocketAddress;
}

export function openListener(address: SocketAddress): Listener {
  if (address.kind === "unix") return openUnixListener(address);
  const fd = listenOn(address);
  return {
    fd,
    address: { ...address, port: boundPort(fd) },
    [Symbol.dispose]: () => closeSocket(fd),
  };
}

function openUnixListener(address: SocketAddress & { kind: "unix" }): Listener {
  const { path } = address;
  const unlock = lock(`${path}.lock`, path);
  try {
    removeStale(address);
    const fd = listenOn(address);
    const ours = lstatSync(path).ino;
    return {
      fd,
      address,
      [Symbol.dispose]() {
        closeSocket(fd);
        if (statOf(path)?.ino === ours) rmSync(path, { force: true });
        unlock();
      },
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Holds the lock file for as long as the service lives; the system frees it if it dies. */
function lock(lockPath: string, path: string): () => void {
  for (;;) {
    const fd = openLock(lockPath, path);
    if (libc.flock(fd, LOCK_EX_NB) !== 0) {
      closeSync(fd);
      throw live(path);
    }
    // Its last owner may have removed the file between the two calls: then it guards nothing.
    if (statOf(lockPath)?.ino === fstatSync(fd).ino) {
      return () => {
        rmSync(lockPath, { force: true });
        closeSync(fd);
      };
    }
    closeSync(fd);
  }
}

function openLock(lockPath: string, path: string): number {
  try {
    const { O_CREAT, O_RDWR, O_NOFOLLOW } = constants;
    return openSync(lockPath, O_CREAT | O_RDWR | O_NOFOLLOW, 0o600);
  } catch (error) {
    throw new Lite3Error(
      "NATIVE",
      `Cannot listen on ${quote(path)}: cannot make its lock file (${(error as Error).message}), ` +
        "need an existing directory that may be written",
      { cause: error },
    );
  }
}

function removeStale(address: SocketAddress & { kind: "unix" }): void {
  const found = statOf(address.path);
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot listen on ${quote(address.path)}: something that is not a socket has that name, ` +
        "need a free path",
    );
  }
  if (!isAbandoned(address)) throw live(address.path);
  rmSync(address.path);
}

function live(path: string): Lite3Error {
  return new Lite3Error(
    "BUSY",
    `Cannot listen on ${quote(path)}: another service is live there, stop it or choose another ` +
      "--socket",
  );
}

function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}
