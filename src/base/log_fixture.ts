/**
 * For tests: what the program says on stderr.
 */

import { stripVTControlCharacters } from "node:util";
import { isQuiet, redirectLog, setQuiet } from "./log.ts";

/** The lines of `notice` and `warn` while `action` runs, without colours; they are not printed. */
export async function linesDuring(action: () => unknown): Promise<string[]> {
  const lines: string[] = [];
  const wasQuiet = isQuiet();
  redirectLog((line) => lines.push(stripVTControlCharacters(line)));
  try {
    setQuiet(false);
    await action();
  } finally {
    setQuiet(wasQuiet);
    redirectLog(undefined);
  }
  return lines;
}
