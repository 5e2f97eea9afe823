/**
 * How many clients an engine has file descriptors for. It keeps some free: at a reload it passes
 * its clients on, and a client over the limit is told so before it is closed.
 */

import { readFileSync } from "node:fs";
import { Lite3Error } from "../base/errors.ts";
import { plural } from "../base/text.ts";

/** An engine has some 12 open, 10 more with the NPU's library, and a few while it passes on. */
const OWN_FDS = 32;
/** Clients over the limit that an engine tells so at once. */
const TOLD_MAX = 64;

/** The most files that this process and its engines may have open each (proc_pid_limits(5)). */
export function fileLimit(): number {
  const limits = readFileSync("/proc/self/limits", "utf8");
  return Number(/^Max open files +(\d+)/m.exec(limits)?.[1] ?? Infinity);
}

/** Clients that there is room for below a limit of open files. Throws CONFIG for none. */
export function clientRoom(files: number): number {
  const free = files - OWN_FDS;
  const room = free >= 2 * TOLD_MAX ? free - TOLD_MAX : Math.floor(free / 2);
  if (room >= 1) return room;
  throw new Lite3Error(
    "CONFIG",
    `Cannot serve: the limit of ${plural(files, "open file")} leaves no room for clients, need ` +
      `${OWN_FDS + 2} or more: ulimit -n, LimitNOFILE= of the unit`,
  );
}
