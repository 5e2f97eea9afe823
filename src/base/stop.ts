/**
 * The wish to stop, by a signal: loops look at it between two steps. SIGHUP counts too: it comes
 * when the terminal of an ssh session goes away.
 */

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

export interface Stop extends Disposable {
  readonly requested: boolean;
  /** The same wish, for what is not a loop. */
  readonly signal: AbortSignal;
  request(): void;
}

/** Listens for signals until it is disposed of. */
export function stopOnSignals(): Stop {
  const controller = new AbortController();
  const request = (): void => controller.abort();
  for (const signal of SIGNALS) process.on(signal, request);
  return {
    get requested() {
      return controller.signal.aborted;
    },
    signal: controller.signal,
    request,
    [Symbol.dispose]() {
      for (const signal of SIGNALS) process.off(signal, request);
    },
  };
}
