import { expect, test } from "bun:test";
import { runSteps } from "./steps.ts";

test("runSteps() waits when nothing is due, and ends when it is over", async () => {
  const done: string[] = [];
  let due = 3;
  await runSteps({
    isOver: () => done.length === 6,
    step: () => due-- > 0 && done.push("step") > 0,
    wait: async () => {
      due = 1;
      done.push("wait");
    },
  });
  expect(done).toEqual(["step", "step", "step", "wait", "step", "wait"]);
});

test("runSteps() leaves the processor alone, and timers their turn", async () => {
  let steps = 0;
  let isOver = false;
  setTimeout(() => {
    isOver = true;
  }, 300);
  await runSteps({
    isOver: () => isOver,
    step: () => ++steps > 0,
    wait: () => Promise.reject(new Error("something is always due")),
  });
  // At most one each 50 ms, after the first ones.
  expect(steps).toBeLessThan(32 + 300 / 50 + 2);
});
