/**
 * For tests: what the program says on stderr.
 */

import { spyOn } from "bun:test";
import { isQuiet, setQuiet } from "./log.ts";

/** The lines of `notice` and `warn` while `action` runs; they are not printed. */
export async function linesDuring(action: () => unknown): Promise<string[]> {
  const lines: string[] = [];
  const wasQuiet = isQuiet();
  const spy = spyOn(console, "error").mockImplementation((line: unknown) => {
    lines.push(String(line));
  });
  try {
    setQuiet(false);
    await action();
  } finally {
    setQuiet(wasQuiet);
    spy.mockRestore();
  }
  return lines;
}
