/**
 * Assertions for programmer errors only. What a user can cause is a `Lite3Error` instead.
 */

export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Throws unless `condition` holds; the process ends with a stack trace and status 70. */
export function assert(condition: unknown, message = "assertion failed"): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** Returns `value`, which the caller knows is there (an index inside a checked range). */
export function present<T>(value: T | undefined | null, what = "value"): T {
  if (value === undefined || value === null) throw new AssertionError(`${what} is missing`);
  return value;
}
