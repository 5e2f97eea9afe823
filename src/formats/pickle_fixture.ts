/**
 * For tests: the pickle writer, and pieces that only they need.
 */

import type { Code } from "./pickle_writer.ts";

export * from "./pickle_writer.ts";

export const NONE: Code = [0x4e];

/** BINFLOAT. */
export function real(value: number): Code {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return [0x47, ...bytes];
}

export function list(...items: Code[]): Code {
  return [0x5d, 0x28, ...items.flat(), 0x65];
}
