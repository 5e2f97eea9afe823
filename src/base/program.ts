/**
 * This program as a command, for those parts of it that run in a process of their own.
 */

import { join } from "node:path";

/** The compiled binary, or Bun with the source. */
export function programCommand(): string[] {
  if (Bun.isStandaloneExecutable) return [process.execPath];
  return [process.execPath, join(import.meta.dir, "..", "main.ts")];
}
