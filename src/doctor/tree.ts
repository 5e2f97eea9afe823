/**
 * A machine as a directory: `/` for this one, or another's file system mounted or copied
 * somewhere. Links inside of a copy point where they would on that machine, never out of it.
 */

import {
  accessSync,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";
import { join } from "node:path";
import { quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { accountOf } from "./account.ts";
import type { FileStat, Machine, Missing, Reading } from "./machine.ts";

/** Links within links, as in the kernel (MAXSYMLINKS). */
const LINKS_MAX = 40;

export function openTree(root: string): Machine {
  const isLive = root === "/";
  const locate = (path: string): string => (isLive ? path : resolveInside(root, path));
  const tree: Machine = {
    place: isLive ? "this machine" : `the tree ${quote(root)}`,
    isLive,
    user: undefined,
    opensFor: undefined,
    stat: (path) => reading(() => describe(statSync(locate(path)), isLive && opens(path))),
    bytes: (path) => reading(() => readStart(locate(path), LIMITS.machineFileBytes)),
    names: (path) => reading(() => readdirSync(locate(path)).sort()),
  };
  if (!isLive) return tree;
  const user = accountOf(tree, process.geteuid?.() ?? 0)?.name;
  return { ...tree, user, opensFor: user };
}

function reading<T>(read: () => T): Reading<T> {
  try {
    return { value: read() };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return { missing: MISSING_BY_ERRNO[code ?? ""] ?? "unreadable" };
  }
}

const MISSING_BY_ERRNO: Readonly<Record<string, Missing>> = {
  ENOENT: "absent",
  ENOTDIR: "absent",
  ENODEV: "absent",
  EACCES: "denied",
  EPERM: "denied",
};

function describe(stat: Stats, isOpen: boolean): FileStat {
  const kind = stat.isFile()
    ? "file"
    : stat.isDirectory()
      ? "directory"
      : stat.isCharacterDevice()
        ? "character"
        : stat.isSocket()
          ? "socket"
          : "other";
  return { kind, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid, opens: isOpen };
}

function opens(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Reads to the end, since files of /proc and /sys have no size, and only regular files, since a
 * pipe would never end. What is longer than `bytesMax` cannot be read.
 */
function readStart(path: string, bytesMax: number): Uint8Array {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!fstatSync(fd).isFile()) throw new Error("not a regular file");
    const chunks: Uint8Array[] = [];
    let total = 0;
    for (;;) {
      const chunk = new Uint8Array(1 << 16);
      const count = readSync(fd, chunk, 0, chunk.length, null);
      if (count === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, count));
      total += count;
      if (total > bytesMax) throw new Error("too large");
    }
  } finally {
    closeSync(fd);
  }
}

/** The real place of `path` in a tree whose root is `root`: `/` of a link is `root`. */
function resolveInside(root: string, path: string): string {
  let waiting = path.split("/").filter(Boolean);
  let done: string[] = [];
  for (let links = 0; waiting.length > 0;) {
    const [name = "", ...rest] = waiting;
    waiting = rest;
    if (name === ".") continue;
    if (name === "..") {
      done = done.slice(0, -1);
      continue;
    }
    const place = join(root, ...done, name);
    if (lstatSync(place).isSymbolicLink()) {
      if (++links > LINKS_MAX) throw new Error("too many links");
      const target = readlinkSync(place);
      if (target.startsWith("/")) done = [];
      waiting = [...target.split("/").filter(Boolean), ...waiting];
    } else {
      done.push(name);
    }
  }
  return join(root, ...done);
}
