/**
 * The machine that is looked at, as files: this one, a tree of another, or a capture. Everything
 * the doctor knows comes through here, so that all three take the same path through every check.
 * Whatever cannot be read is an answer, not an error.
 */

import type { MachineFiles } from "../runtime/npu_nodes.ts";

export const MISSING = {
  absent: "there is none",
  denied: "no permission to read it",
  unreadable: "it cannot be read",
  "not captured": "it is not in the capture",
} as const;

export type Missing = keyof typeof MISSING;

export type Reading<T> = { readonly value: T } | { readonly missing: Missing };

export const FILE_KINDS = ["file", "directory", "character", "socket", "other"] as const;

export interface FileStat {
  readonly kind: (typeof FILE_KINDS)[number];
  /** Permission bits and sticky: 0o7777 at most. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whether who runs the doctor may read and write it, by the kernel's word. */
  readonly opens: boolean;
}

export interface Machine {
  /** `this machine`, or whose tree it is. */
  readonly place: string;
  readonly isLive: boolean;
  /** The service's user if none is named: who runs the doctor; unknown for a bare tree. */
  readonly user: string | undefined;
  /** Whose `opens` the files have: that user's, or nobody's who is of interest. */
  readonly opensFor: string | undefined;
  /** Links are followed; paths are absolute on that machine. */
  stat(path: string): Reading<FileStat>;
  bytes(path: string): Reading<Uint8Array>;
  /** Names in a directory, sorted. */
  names(path: string): Reading<readonly string[]>;
}

/** What was read, or undefined. */
export function valueOf<T>(reading: Reading<T>): T | undefined {
  return "value" in reading ? reading.value : undefined;
}

/** Why it is not known what is there; undefined where that is known, be it nothing. */
export function whyUnknown(reading: Reading<unknown>): string | undefined {
  return "value" in reading || reading.missing === "absent" ? undefined : MISSING[reading.missing];
}

/** A file's text without the newlines and zeros at its end. */
export function textOf(machine: Machine, path: string): string | undefined {
  const bytes = valueOf(machine.bytes(path));
  return bytes === undefined ? undefined : decodeText(bytes).replace(/[\s\0]+$/, "");
}

export const decodeText = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** The machine as npu_nodes.ts reads it. */
export const filesOf = (machine: Machine): MachineFiles => ({
  names: (path) => valueOf(machine.names(path)) ?? [],
  text: (path) => textOf(machine, path),
});

/** The number that a file of sysfs holds. */
export function numberOf(machine: Machine, path: string): number | undefined {
  const text = textOf(machine, path);
  return text !== undefined && /^-?\d+$/.test(text) ? Number(text) : undefined;
}

/** A line's value in a file of `key: value` lines, as /proc has them. */
export function fieldOf(machine: Machine, path: string, key: string): string | undefined {
  const line = textOf(machine, path)
    ?.split("\n")
    .find((text) => text.split(":")[0]?.trim() === key);
  return line?.slice(line.indexOf(":") + 1).trim();
}

/** Names in a directory that match; none where it cannot be read. */
export function namesLike(machine: Machine, path: string, pattern: RegExp): readonly string[] {
  const names = valueOf(machine.names(path)) ?? [];
  return names.filter((name) => pattern.test(name)).sort(byNumber);
}

/** `card2` before `card10`. */
const byNumber = (a: string, b: string): number => a.localeCompare(b, "en", { numeric: true });
