/** Memory of a process with all that it started, from /proc. */

import { readFileSync } from "node:fs";

/** Resident set of the process and its descendants, megabytes; 0 once they have ended. */
export function residentMb(pid: number): number {
  const kilobytes = Number(/^VmRSS:\s+(\d+)/m.exec(readProc(`${pid}/status`))?.[1] ?? 0);
  return descendants(pid).reduce((sum, child) => sum + residentMb(child), kilobytes / 1000);
}

/** The processes that this one started and that live. */
export function descendants(pid: number): number[] {
  return readProc(`${pid}/task/${pid}/children`).split(" ").filter(Boolean).map(Number);
}

function readProc(path: string): string {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    return "";
  }
}
