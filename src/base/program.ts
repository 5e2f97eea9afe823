/**
 * This program as a command, for those parts of it that run in a process of their own.
 */

import { join } from "node:path";

/** The compiled binary, or Bun with the source. */
export function programCommand(): string[] {
  if (Bun.isStandaloneExecutable) return [process.execPath];
  return [process.execPath, join(import.meta.dir, "..", "main.ts")];
}

/** The user's, without what sets flags: only the variables of the NPU library's test double. */
export function programEnvironment(): Record<string, string | undefined> {
  const entries = Object.entries(process.env).filter(
    ([name]) => !name.startsWith("LITE3RL_") || /^LITE3RL_DOUBLE(?:_|$)/.test(name),
  );
  return Object.fromEntries(entries);
}
