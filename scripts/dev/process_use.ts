/** What a process with all that it started takes of memory and of the CPU, from /proc. */

import { readdirSync, readFileSync } from "node:fs";

/** Resident set of the process and its descendants, megabytes; 0 once they have ended. */
export function residentMb(pid: number): number {
  const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1] ?? 0);
  return children(pid).reduce((sum, child) => sum + residentMb(child), kilobytes / 1000);
}

/** Time on the CPU of the threads of the process and its descendants that live, ms. */
export function cpuMs(pid: number): number {
  // schedstat begins with the nanoseconds on the CPU.
  const own = threads(pid).reduce(
    (sum, thread) => sum + parseInt(readProc(`${pid}/task/${thread}/schedstat`) || "0") / 1e6,
    0,
  );
  return children(pid).reduce((sum, child) => sum + cpuMs(child), own);
}

const threads = (pid: number): string[] => {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
};

const children = (pid: number): number[] =>
  threads(pid).flatMap((thread) =>
    readProc(`${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
