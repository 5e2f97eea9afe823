/**
 * When a dead engine's place is filled again: at once, as long as engines answer before they die;
 * otherwise later each time, and no more after too many within a minute. Nothing here looks at a
 * clock; times are `performance.now()`.
 */

/** What follows the first death without an answer; each further one doubles it. */
const BACK_OFF_MS = 100;
const BACK_OFF_MAX_MS = 5_000;
/** Deaths of longer ago do not count towards the end. */
const WINDOW_MS = 60_000;

export interface RestartPolicy {
  /**
   * Counts a death; returns how long to wait before the next start, or undefined when there shall
   * be none.
   */
  died(nowMs: number, hasAnswered: boolean): number | undefined;
}

/** @param deathsMax without an answer in between and within a minute: the last one ends it */
export function createRestartPolicy(deathsMax: number): RestartPolicy {
  let deaths: number[] = [];
  return {
    died(nowMs, hasAnswered) {
      if (hasAnswered) deaths = [];
      deaths = [...deaths.filter((at) => nowMs - at < WINDOW_MS), nowMs];
      if (deaths.length >= deathsMax) return undefined;
      if (deaths.length === 1) return 0;
      return Math.min(BACK_OFF_MAX_MS, BACK_OFF_MS * 2 ** (deaths.length - 2));
    },
  };
}
