import { expect, test } from "bun:test";
import { createRecentObservations } from "./recent_observations.ts";

test("createRecentObservations() keeps the last ones, as many as fit into a message", () => {
  const recent = createRecentObservations();
  for (let i = 0; i < 40; i++) recent.add(Float32Array.of(i, 0.5));
  recent.add(Float32Array.of(NaN, 1));
  expect(recent.rows()).toEqual(Array.from({ length: 32 }, (_, i) => [8 + i, 0.5]));
  for (let i = 0; i < 40; i++) recent.add(new Float32Array(500).fill(i));
  expect(recent.rows().map(([first]) => first)).toEqual([37, 38, 39]);
  recent.add(new Float32Array(1_501));
  expect(recent.rows()).toEqual([]);
});
