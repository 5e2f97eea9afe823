/**
 * Finds an engine that hangs, by the page that it writes: an inference that runs for too long, or
 * a heart that no longer beats.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { WORD } from "../service/page.ts";

/** How often the supervisor looks where nothing runs; what runs is looked at when its time is over. */
export const LOOK_MS = 50;
/**
 * A look that comes so late says nothing: this process itself, or the machine, was stopped. The
 * next one does, late or not: an engine that was stopped as well has done something by then.
 */
const LATE_MS = 500;
/** An idle engine's heart beats every 100 ms; on a busy machine it may be late. */
const BEAT_LIMIT_MS = 2_000;

export interface Watchdog {
  /** Looks at a page's words: ms until the next look, 0 when its engine is to be ended. */
  look(word: (at: number) => number): number;
}

/** @param limitMs for one inference */
export function createWatchdog(limitMs: number, clockUs: () => number = monotonicUs): Watchdog {
  let lookedUs = clockUs();
  let beat = -1;
  let beatUs = lookedUs;
  let runSinceUs = 0;
  /** The engine has done something since a look was last too late to say anything. */
  let hasExcuse = true;
  // An inference that begins after a look is seen before its time is over.
  const restMs = Math.max(1, Math.min(LOOK_MS, limitMs));
  return {
    look(word) {
      const nowUs = clockUs();
      const busySinceUs = word(WORD.busySinceUs);
      hasExcuse ||= word(WORD.beat) !== beat || busySinceUs !== runSinceUs;
      const isExcused = nowUs - lookedUs > LATE_MS * 1000 && hasExcuse;
      if (isExcused) hasExcuse = false;
      lookedUs = nowUs;
      runSinceUs = busySinceUs;
      if (word(WORD.beat) !== beat || isExcused) {
        beat = word(WORD.beat);
        beatUs = nowUs;
      }
      if (isExcused) return restMs;
      if (nowUs - beatUs > (limitMs + BEAT_LIMIT_MS) * 1000) return 0;
      if (busySinceUs === 0) return restMs;
      const leftMs = limitMs - (nowUs - busySinceUs) / 1000;
      return leftMs < 0 ? 0 : Math.min(restMs, Math.ceil(leftMs) || 1);
    },
  };
}
