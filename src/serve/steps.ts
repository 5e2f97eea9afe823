/**
 * A loop of steps: each does the one thing that is due, or finds that nothing is. The event loop
 * has a turn after every step, so that signals and the ends of processes are seen however much is
 * due; and steps that follow one another without an end are slowed down, so that none that only
 * believes to have done something can keep a processor.
 */

import { turnEventLoop } from "../base/event_loop.ts";

/** What follows from one event is done in less. */
const RUN_MAX = 32;
const SLOW_MS = 50;

export interface Steps {
  isOver(): boolean;
  /** Did it do anything? */
  step(): boolean | Promise<boolean>;
  /** Until something happens, or something is due by the clock. */
  wait(): Promise<void>;
}

export async function runSteps({ isOver, step, wait }: Steps): Promise<void> {
  let run = 0;
  while (!isOver()) {
    if (!(await step())) {
      run = 0;
      await wait();
    } else if (++run > RUN_MAX) {
      await Bun.sleep(SLOW_MS);
    }
    await turnEventLoop();
  }
}
