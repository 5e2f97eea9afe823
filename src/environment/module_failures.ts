/**
 * What a TypeScript program of the user's does to this process besides answering: an error in a
 * timer or a promise nobody waits for, and `process.exit`, would end lite3rl with the work undone.
 * While such a program is open they are failures of its next answer instead.
 */

export interface FailureWatch extends Disposable {
  /** Throws what went wrong since the program was opened. */
  check(): void;
  /** Rejects when something goes wrong; never resolves. */
  readonly failed: Promise<never>;
}

/** Watches until it is disposed of. */
export function watchFailures(): FailureWatch {
  let found: { readonly error: unknown } | undefined;
  const { promise: failed, reject } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const fail = (error: unknown): void => {
    found ??= { error };
    reject(error);
  };
  const refuseExit = (code?: number | string | null): never => {
    const error = new Error(`it asked to exit with ${code ?? process.exitCode ?? 0}`);
    fail(error);
    throw error;
  };
  const { exit } = process;
  process.on("uncaughtException", fail);
  process.on("unhandledRejection", fail);
  process.exit = refuseExit;
  return {
    failed,
    check() {
      if (found !== undefined) throw found.error;
    },
    [Symbol.dispose]() {
      process.off("uncaughtException", fail);
      process.off("unhandledRejection", fail);
      if (process.exit === refuseExit) process.exit = exit;
    },
  };
}
