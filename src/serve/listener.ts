/**
 * The service's listening socket: a stale Unix socket is taken over, a live one and anything that
 * is not a socket is left alone. A lock file beside it keeps two starting services apart.
 */

import { lstatSync, rmSync, type Stats, statSync } from "node:fs";
import { dirname } from "node:path";
import { takeLock } from "../../ffi/lock.ts";
import {
  boundPort,
  closeSocket,
  isAbandoned,
  listenOn,
  type SocketAccess,
  type SocketAddress,
} from "../../ffi/socket.ts";
import { Lite3Error, operatingError, quote } from "../base/errors.ts";
import { warn } from "../base/log.ts";

export interface Listener extends Disposable {
  readonly fd: number;
  /** With the port that the system chose, where port 0 was asked for. */
  readonly address: SocketAddress;
  /** Is it found at its address? A Unix socket whose name was removed is made again, as `fd`. */
  look(): "there" | "renewed" | { readonly problem: string };
}

/** @param access of a Unix socket; 0600 where none is given */
export function openListener(address: SocketAddress, access?: SocketAccess): Listener {
  if (address.kind === "unix") return openUnixListener(address, access);
  const fd = listenOn(address);
  return {
    fd,
    address: { ...address, port: boundPort(fd) },
    look: () => "there",
    [Symbol.dispose]: () => closeSocket(fd),
  };
}

function openUnixListener(
  address: SocketAddress & { kind: "unix" },
  access: SocketAccess | undefined,
): Listener {
  const { path } = address;
  const claim = claimSocketPath(address);
  try {
    let fd = listenOn(address, access);
    warnOfOpenDirectory(path);
    let ours = lstatSync(path).ino;
    const renew = (): ReturnType<Listener["look"]> => {
      try {
        const next = listenOn(address, access);
        // Clients that wait in the old one are served: the engine has it.
        closeSocket(fd);
        fd = next;
        ours = lstatSync(path).ino;
        return "renewed";
      } catch (error) {
        return { problem: operatingError(error).message };
      }
    };
    return {
      get fd() {
        return fd;
      },
      address,
      look() {
        const found = statOf(path)?.ino;
        if (found === undefined) return renew();
        return found === ours ? "there" : { problem: "something else has its name" };
      },
      [Symbol.dispose]() {
        closeSocket(fd);
        if (statOf(path)?.ino === ours) rmSync(path, { force: true });
        claim[Symbol.dispose]();
      },
    };
  } catch (error) {
    claim[Symbol.dispose]();
    throw error;
  }
}

/**
 * Makes the path free to listen on, and keeps other starting services off it until disposed.
 * Throws BUSY for a live socket, CONFIG for what is none.
 */
export function claimSocketPath(address: SocketAddress & { kind: "unix" }): Disposable {
  const claim = lock(`${address.path}.lock`, address.path);
  try {
    removeStale(address);
    return claim;
  } catch (error) {
    claim[Symbol.dispose]();
    throw error;
  }
}

/** Others may write, and no sticky bit keeps them from each other's files. */
function warnOfOpenDirectory(path: string): void {
  const directory = dirname(path);
  const { mode } = statSync(directory);
  if ((mode & 0o002) === 0 || (mode & 0o1000) !== 0) return;
  warn(
    `${directory}: others may write there, and put a socket of theirs in the place of ${path}; ` +
      "a directory of the service's own is safer",
  );
}

/** Held for as long as the service lives. */
function lock(lockPath: string, path: string): Disposable {
  let taken: Disposable | undefined;
  try {
    taken = takeLock(lockPath);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new Lite3Error(
      "CONFIG",
      `Cannot listen on ${quote(path)}: no lock file can be made beside it (${code}), ` +
        "need an existing directory that may be written",
      { cause: error },
    );
  }
  if (taken === undefined) throw live(path);
  return taken;
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
