/**
 * For tests: an operating error as plain data, to be compared as a whole.
 */

import { type ErrorCode, Lite3Error } from "./errors.ts";

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

/** The Lite3Error that `action` ends with; any other outcome fails the test. */
export async function refusalOf(action: () => unknown): Promise<Refusal> {
  try {
    await action();
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return { code: error.code, message: error.message };
  }
  throw new Error("what should be refused was taken");
}
