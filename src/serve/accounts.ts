/**
 * Users and groups as flags name them: by name, as in /etc/passwd and /etc/group, or by number.
 */

import { readFileSync } from "node:fs";
import { Lite3Error, quote } from "../base/errors.ts";

const FILES = { user: "/etc/passwd", group: "/etc/group" } as const;

/** `lite3,1000` → ids. Throws CONFIG for a name that this machine does not have. */
export function parseIds(kind: keyof typeof FILES, text: string, flag: string): number[] {
  return text.split(",").map((word) => parseId(kind, word.trim(), flag));
}

/** `lite3` or `1000` → its id. */
export function parseId(kind: keyof typeof FILES, word: string, flag: string): number {
  if (/^\d{1,10}$/.test(word)) return Number(word);
  const id = rowsOf(FILES[kind]).find(([name]) => name === word)?.[2];
  if (id !== undefined && word !== "") return Number(id);
  throw new Lite3Error(
    "CONFIG",
    `Cannot use ${flag} ${quote(word)}: there is no such ${kind} in ${FILES[kind]}, ` +
      "need one of there or a number",
  );
}

function rowsOf(path: string): string[][] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .map((line) => line.split(":"));
  } catch {
    return [];
  }
}
