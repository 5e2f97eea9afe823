import { expect, test } from "bun:test";
import { createRestartPolicy } from "./restart_policy.ts";

test("createRestartPolicy() starts at once, then waits twice as long each time, then ends", () => {
  const policy = createRestartPolicy(10);
  const waits = Array.from({ length: 10 }, (_, i) => policy.died(i, false));
  expect(waits).toEqual([0, 100, 200, 400, 800, 1600, 3200, 5000, 5000, undefined]);
});

test("createRestartPolicy() begins again after an engine that has answered", () => {
  const policy = createRestartPolicy(3);
  expect([false, false, true, false, false].map((has, i) => policy.died(i, has))).toEqual([
    0,
    100,
    0,
    100,
    undefined,
  ]);
});

test("createRestartPolicy() forgets deaths of more than a minute ago", () => {
  const policy = createRestartPolicy(2);
  expect([0, 60_000, 119_999].map((at) => policy.died(at, false))).toEqual([0, 0, undefined]);
});
