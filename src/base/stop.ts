/**
 * The wish to stop, by a signal: loops look at it between two steps. SIGHUP counts too: it comes
 * when the terminal of an ssh session goes away.
 */

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

export interface Stop extends Disposable {
  readonly requested: boolean;
  /** The same wish, for what takes an AbortSignal. */
  readonly signal: AbortSignal;
  request(): void;
}

/** Listens for signals until it is disposed of. */
export function stopOnSignals(): Stop {
  const controller = new AbortController();
  const { signal } = controller;
  const request = (): void => controller.abort();
  for (const name of SIGNALS) process.on(name, request);
  return {
    get requested() {
      return signal.aborted;
    },
    signal,
    request,
    [Symbol.dispose]() {
      for (const name of SIGNALS) process.off(name, request);
    },
  };
}
