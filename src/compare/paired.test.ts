import { describe, expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import { createRandom } from "../base/random.ts";
import { meanInterval, type PairCounts, proportionInterval, studentQuantile } from "./paired.ts";

const near = (value: number, digits = 4): number => expect.closeTo(value, digits) as number;

describe("studentQuantile()", () => {
  test("gives the numbers of every table", () => {
    const table = [
      [0.975, 1, 12.7062],
      [0.975, 2, 4.30265],
      [0.975, 10, 2.22814],
      [0.975, 79, 1.99045],
      [0.975, 100_000, 1.95999],
      [0.95, 5, 2.01505],
      [0.995, 3, 5.84091],
      [0.5, 7, 0],
    ] as const;
    for (const [probability, degrees, t] of table) {
      expect(studentQuantile(probability, degrees)).toBeCloseTo(t, 4);
    }
  });

  test("asserts an upper quantile", () => {
    for (const [probability, degrees] of [
      [0.4, 5],
      [1, 5],
      [0.9, 0],
    ] as const) {
      expect(() => studentQuantile(probability, degrees)).toThrow(AssertionError);
    }
  });
});

describe("meanInterval()", () => {
  test("is Student's: mean ± t · s / √n", () => {
    // s = √2.5, n = 5, t = 2.77645.
    const half = 2.776445 * Math.sqrt(2.5 / 5);
    expect(meanInterval([1, 2, 3, 4, 5], 0.95)).toEqual({
      mean: 3,
      low: near(3 - half),
      high: near(3 + half),
    });
  });

  test("has no width where nothing differs, and is none for fewer than two", () => {
    expect(meanInterval([0.5, 0.5, 0.5], 0.95)).toEqual({ mean: 0.5, low: 0.5, high: 0.5 });
    expect([meanInterval([], 0.95), meanInterval([1], 0.95)]).toEqual([null, null]);
  });

  test("holds the true mean in as many cases as it says", () => {
    const random = createRandom(4);
    const draw = () => Array.from({ length: 12 }, () => 1 + random.normal());
    const held = Array.from({ length: 2000 }, () => meanInterval(draw(), 0.9)).filter(
      (one) => one !== null && one.low <= 1 && one.high >= 1,
    );
    expect(held.length / 2000).toBeWithin(0.88, 0.92);
  });
});

describe("proportionInterval()", () => {
  test("gives the limits that Newcombe printed for method 10", () => {
    const limits = [
      [{ both: 20, onlyA: 2, onlyB: 12, neither: 16 }, 0.2, 0.0562, 0.3292],
      [{ both: 36, onlyA: 2, onlyB: 12, neither: 0 }, 0.2, 0.0569, 0.3404],
      [{ both: 36, onlyA: 0, onlyB: 14, neither: 0 }, 0.28, 0.1528, 0.4167],
    ] as const;
    for (const [counts, mean, low, high] of limits) {
      const found = { mean: near(mean), low: near(low), high: near(high) };
      expect(proportionInterval(counts, 0.95)).toEqual(found);
    }
  });

  test("of nothing in n pairs ends where Wilson's does, z² / (n + z²)", () => {
    const none = proportionInterval({ both: 0, onlyA: 0, onlyB: 0, neither: 80 }, 0.95);
    const end = 3.841459 / 83.841459;
    expect(none).toEqual({ mean: 0, low: near(-end), high: near(end) });
  });

  test("is the same the other way round, turned", () => {
    const counts = { both: 3, onlyA: 1, onlyB: 9, neither: 27 };
    const turned = { ...counts, onlyA: 9, onlyB: 1 };
    const { mean, low, high } = proportionInterval(counts, 0.95);
    expect(proportionInterval(turned, 0.95)).toEqual({
      mean: near(-mean, 12),
      low: near(-high, 12),
      high: near(-low, 12),
    });
  });

  test("stays within −1 and 1, and holds the difference that is found", () => {
    const random = createRandom(5);
    for (let i = 0; i < 500; i++) {
      const [both, onlyA, onlyB, neither] = [0, 1, 2, 3].map(() =>
        Math.floor(random.between(0, 9) * random.uniform()),
      ) as [number, number, number, number];
      const counts: PairCounts = { both, onlyA, onlyB, neither: neither + 1 };
      const { mean, low, high } = proportionInterval(counts, 0.95);
      expect(low >= -1 && low <= mean && mean <= high && high <= 1).toBe(true);
    }
  });

  test("asserts a pair", () => {
    const none = { both: 0, onlyA: 0, onlyB: 0, neither: 0 };
    expect(() => proportionInterval(none, 0.95)).toThrow(AssertionError);
  });
});
