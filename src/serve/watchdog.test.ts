import { expect, test } from "bun:test";
import { WORD } from "../service/page.ts";
import { createWatchdog, LOOK_MS } from "./watchdog.ts";

/** A page whose words the test sets, and a clock that goes on by one look each time. */
function setUp(limitMs: number) {
  let nowUs = 1e9;
  const words = new Float64Array(16);
  const watchdog = createWatchdog(limitMs, () => nowUs);
  return {
    words,
    nowUs: () => nowUs,
    /** Of a watchdog that is asked again when it wants to be, or later. */
    look(afterMs = LOOK_MS): number {
      nowUs += afterMs * 1000;
      return watchdog.look((at) => words[at] as number);
    },
  };
}

/** How many ms of looks, each after `onLook`, until it hangs; at most 10 s. */
function hangsAfterMs(at: ReturnType<typeof setUp>, onLook: () => void): number {
  let next = at.look(0);
  for (let ms = next; ms <= 10_000; ms += next) {
    onLook();
    next = at.look(next);
    if (next === 0) return ms;
  }
  return Infinity;
}

test("createWatchdog() finds an inference that runs for longer than the limit", () => {
  const at = setUp(1000);
  at.words[WORD.busySinceUs] = at.nowUs();
  expect(hangsAfterMs(at, () => at.words[WORD.beat]!++)).toBe(1001);
  // Whenever it began, and however short its time.
  for (const limitMs of [5, 30, 80, 200]) {
    const short = setUp(limitMs);
    short.look(0);
    short.words[WORD.busySinceUs] = short.nowUs() + 1700;
    expect(hangsAfterMs(short, () => short.words[WORD.beat]!++)).toBeLessThanOrEqual(limitMs + 4);
  }
});

test("createWatchdog() is asked seldom while nothing runs", () => {
  const at = setUp(1000);
  expect([at.look(), at.look()]).toEqual([LOOK_MS, LOOK_MS]);
});

test("createWatchdog() finds a heart that no longer beats, and leaves one that does", () => {
  const still = setUp(1000);
  expect(hangsAfterMs(still, () => {})).toBe(3000 + LOOK_MS);
  const beating = setUp(1000);
  expect(hangsAfterMs(beating, () => beating.words[WORD.beat]!++)).toBe(Infinity);
});

test("createWatchdog() says nothing after a time in which it could not look itself", () => {
  const at = setUp(1000);
  at.words[WORD.busySinceUs] = at.nowUs();
  expect(at.look(60_000)).toBe(LOOK_MS);
  expect(at.look()).toBe(0);
});

test("createWatchdog() finds what hangs though every look is late", () => {
  const running = setUp(1000);
  running.words[WORD.busySinceUs] = running.nowUs();
  expect([running.look(900), running.look(900)]).toEqual([LOOK_MS, 0]);
  const still = setUp(1000);
  expect(Array.from({ length: 5 }, () => still.look(900))).toEqual([
    ...Array.from({ length: 4 }, () => LOOK_MS),
    0,
  ]);
  // Not what only looks late: every inference is another one.
  const busy = setUp(1000);
  for (let i = 0; i < 20; i++) {
    busy.words[WORD.beat]!++;
    busy.words[WORD.busySinceUs] = busy.nowUs() - 2e6;
    expect(busy.look(900)).toBe(LOOK_MS);
  }
});
