/**
 * Finds an engine that hangs, by the page that it writes: an inference that runs for too long, or
 * a heart that no longer beats.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { WORD } from "../service/page.ts";

/** How often the supervisor looks. */
export const LOOK_MS = 50;
/** A look that comes so late says nothing: this process itself, or the machine, was stopped. */
const LATE_MS = 500;
/** An idle engine's heart beats every 100 ms; on a busy machine it may be late. */
const BEAT_LIMIT_MS = 2_000;

export interface Watchdog {
  /** Looks at a page's words; true when its engine is to be ended. */
  isHanging(word: (at: number) => number): boolean;
}

/** @param limitMs for one inference */
export function createWatchdog(limitMs: number, clockUs: () => number = monotonicUs): Watchdog {
  let lookedUs = clockUs();
  let beat = -1;
  let beatUs = lookedUs;
  return {
    isHanging(word) {
      const nowUs = clockUs();
      const isLate = nowUs - lookedUs > LATE_MS * 1000;
      lookedUs = nowUs;
      const busySinceUs = word(WORD.busySinceUs);
      if (word(WORD.beat) !== beat || isLate) {
        beat = word(WORD.beat);
        beatUs = nowUs;
      }
      if (isLate) return false;
      if (busySinceUs > 0 && nowUs - busySinceUs > limitMs * 1000) return true;
      return nowUs - beatUs > (limitMs + BEAT_LIMIT_MS) * 1000;
    },
  };
}
