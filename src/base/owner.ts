/**
 * Temporary files and directories carry the mark of the process that made them, so that what a
 * killed process has left can be told from what somebody is working with.
 */

import { readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { createHash } from "node:crypto";
import { join } from "node:path";

const MARK = /.*(?<![0-9a-f])([0-9a-f]{8})-(\d+)-(\d+)/s;
/** Processes of another container or of an earlier start are not seen: their things get a day. */
const FOREIGN_MS = 86_400_000;

/**
 * `3f9a1c2b-4711-88123`: where process ids are this one's (start of the machine and PID
 * namespace), the process id, and when the process began, in ticks.
 */
export function ownerMark(): string {
  return `${place()}-${process.pid}-${startTicks(process.pid) ?? 0}`;
}

/** Removes what `isOurs` names in the directory and whose process is gone. */
export function removeAbandoned(directory: string, isOurs: (name: string) => boolean): void {
  for (const path of findAbandoned(directory, isOurs)) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch {
      // Gone by now, or it cannot be removed: it is in nobody's way.
    }
  }
}

/** Paths of what `isOurs` names, belongs to this user, and whose process is gone. */
export function findAbandoned(directory: string, isOurs: (name: string) => boolean): string[] {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return [];
  }
  return names
    .filter((name) => isOurs(name) && MARK.test(name))
    .map((name) => join(directory, name))
    .filter(isAbandoned);
}

function isAbandoned(path: string): boolean {
  const [, where, pid, ticks] = MARK.exec(path) ?? [];
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined || stat.uid !== process.getuid?.()) return false;
  if (where === place()) return startTicks(Number(pid)) !== Number(ticks);
  return performance.timeOrigin + performance.now() - stat.mtimeMs > FOREIGN_MS;
}

let known: string | undefined;

function place(): string {
  return (known ??= createHash("sha256")
    .update(readFileSync("/proc/sys/kernel/random/boot_id", "utf8"))
    .update(readlinkSync("/proc/self/ns/pid"))
    .digest("hex")
    .slice(0, 8));
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined for a process that has ended. */
function startTicks(pid: number): number | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined;
  }
  // The name before it, in brackets, may hold anything.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" ? undefined : Number(fields[19]);
}
