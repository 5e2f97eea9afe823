/**
 * The outputs of one run, before any work: each replaces only what is missing, empty or of its own
 * kind, no input, and no other output. A flag's value that was mistyped, or taken from the wrong
 * line, must not cost the file that has that name.
 */

import { existsSync, realpathSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { Lite3Error, quote } from "./errors.ts";
import { checkOutput, checkReplaces } from "./files.ts";

/** What an output is, by the first 512 bytes of a file. */
export interface OutputKind {
  readonly name: string;
  isKind(head: Uint8Array): boolean;
}

export interface OutputFile {
  /** None is written where it is absent. */
  readonly path: string | undefined;
  readonly flag: string;
  /** Absent where a verb has a stricter rule of its own. */
  readonly kind?: OutputKind;
}

const text = (head: Uint8Array): string => new TextDecoder().decode(head).replace(/^\uFEFF/, "");

export const HTML_PAGE: OutputKind = {
  name: "HTML page",
  isKind: (head) => /^\s*<!doctype html/i.test(text(head)),
};

export const JUNIT_XML: OutputKind = {
  name: "JUnit XML",
  isKind: (head) => /^<\?xml[^>]*>\s*<testsuites?[\s>]/.test(text(head)),
};

/** A text that begins with these words, as a CSV with its first column's name. */
export const textKind = (name: string, begin: string): OutputKind => ({
  name,
  isKind: (head) => text(head).startsWith(begin),
});

/** An .npz whose first array has this name: in a zip, it stands at byte 30. */
export const npzKind = (name: string, first: string): OutputKind => ({
  name,
  isKind: (head) => {
    const header = new TextDecoder("latin1").decode(head);
    return header.startsWith("PK\x03\x04") && header.startsWith(`${first}.npy`, 30);
  },
});

/**
 * Throws USAGE for two outputs in one place, CONFIG for one that is an input or would replace a
 * file of another kind. Links count as what they lead to.
 */
export function checkOutputFiles(
  outputs: readonly OutputFile[],
  inputs: readonly (string | undefined)[],
): void {
  const places = new Map<string, string>();
  for (const { path, flag, kind } of outputs) {
    if (path === undefined) continue;
    const place = placeOf(path);
    const twin = places.get(place);
    if (twin !== undefined) {
      throw new Lite3Error(
        "USAGE",
        `Cannot write ${quote(path)}: ${twin} goes there too, name another with ${flag}`,
      );
    }
    places.set(place, flag);
    checkOutput(path, inputs);
    if (kind !== undefined) checkReplaces(path, kind.isKind, kind.name, flag);
  }
}

/** Where a path leads, whether or not the file is there. */
function placeOf(path: string): string {
  if (existsSync(path)) return realpathSync(path);
  const folder = dirname(resolve(path));
  return existsSync(folder) ? join(realpathSync(folder), basename(path)) : resolve(path);
}
