/**
 * When `--fallback` takes over from an NPU that keeps dying, and when the NPU is tried again.
 * Nothing here looks at a clock; times are `performance.now()`.
 */

/** So many deaths of the NPU's engine within this time bring the fallback. */
const DEATHS = 2;
const WINDOW_MS = 10_000;
const RETURN_MS = 1_000;
const RETURN_MAX_MS = 60_000;

export interface FallbackPolicy {
  /** Is the NPU left alone at present? */
  readonly isActive: boolean;
  /** When to try the NPU again; Infinity while it is in use. */
  readonly returnAtMs: number;
  /** The NPU's engine died while it served. */
  died(nowMs: number): void;
  /** The NPU could not be opened, or keeps failing; nothing new while it is left alone. */
  failed(nowMs: number): void;
  /** The NPU serves. */
  returned(): void;
}

export function createFallbackPolicy(): FallbackPolicy {
  let deaths: number[] = [];
  let waitMs = RETURN_MS;
  let lastMs = -Infinity;
  let returnAtMs = Infinity;
  const fall = (nowMs: number): void => {
    // An NPU that had worked for a while is given the short wait again.
    waitMs = nowMs - lastMs > RETURN_MAX_MS * 2 ? RETURN_MS : Math.min(RETURN_MAX_MS, waitMs * 2);
    lastMs = nowMs;
    returnAtMs = nowMs + waitMs;
    deaths = [];
  };
  return {
    get isActive() {
      return returnAtMs !== Infinity;
    },
    get returnAtMs() {
      return returnAtMs;
    },
    died(nowMs) {
      deaths = [...deaths.filter((at) => nowMs - at < WINDOW_MS), nowMs];
      if (deaths.length >= DEATHS) fall(nowMs);
    },
    failed(nowMs) {
      if (returnAtMs === Infinity) fall(nowMs);
    },
    returned() {
      returnAtMs = Infinity;
    },
  };
}
