import { expect, test } from "bun:test";
import { createRandom } from "./random.ts";

const take = (count: number, next: () => number) => Array.from({ length: count }, next);

test("createRandom() gives the same numbers for a seed on every machine", () => {
  const { uniform, between } = createRandom(42);
  expect([take(2, uniform), take(2, () => between(-2, 6))]).toEqual([
    [0.9705673231091424, 0.8457159529613436],
    [4.780896538509359, 0.5131449817663629],
  ]);
});

test("createRandom() gives other numbers for another seed", () => {
  expect(take(4, createRandom(1).uniform)).not.toEqual(take(4, createRandom(2).uniform));
});

test("uniform() and between() stay in their half-open ranges", () => {
  const { uniform, between } = createRandom(7);
  const units = take(10_000, uniform);
  const others = take(10_000, () => between(-3, -1));
  expect([units.every((x) => x >= 0 && x < 1), others.every((x) => x >= -3 && x < -1)]).toEqual([
    true,
    true,
  ]);
  expect(units.reduce((sum, x) => sum + x, 0) / units.length).toBeCloseTo(0.5, 2);
});

test("normal() has mean 0 and variance 1 and is never infinite", () => {
  const values = take(20_000, createRandom(3).normal);
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
  expect([mean, variance]).toEqual([expect.closeTo(0, 1), expect.closeTo(1, 1)]);
  expect(values.every(Number.isFinite)).toBe(true);
});
