/**
 * A recording belongs to one service: two would take turns in the ring, or one would record nothing
 * without a word. The lock is the service's, beside the file, since engines of one service follow
 * one another.
 */

import { statSync } from "node:fs";
import { takeLock } from "../../ffi/lock.ts";
import { Lite3Error, quote } from "../base/errors.ts";

/**
 * Takes the recording for as long as it is not disposed of; nothing where `path` is no regular
 * file. Throws CONFIG where another service has it, or no lock can be made.
 */
export function lockRecording(path: string): Disposable {
  const isOther = statSync(path, { throwIfNoEntry: false })?.isFile() === false;
  if (isOther) return { [Symbol.dispose]() {} };
  let lock: Disposable | undefined;
  try {
    lock = takeLock(`${path}.lock`);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refusal(
      path,
      `no lock file can be made beside it (${code}), need an existing directory that may be written`,
      error,
    );
  }
  if (lock !== undefined) return lock;
  throw refusal(path, "another service records to it, need a file for each");
}

function refusal(path: string, why: string, cause?: unknown): Lite3Error {
  const message = `Cannot record to ${quote(path)}: ${why}; choose another --record`;
  return new Lite3Error("CONFIG", message, { cause });
}
