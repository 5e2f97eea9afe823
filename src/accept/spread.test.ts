import { expect, test } from "bun:test";
import { p99Above, spreadOf } from "./spread.ts";

const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

test("spreadOf() gives quantiles of sorted values", () => {
  expect(spreadOf(upTo(1000))).toEqual({
    mean: 500.5,
    p50: 500.5,
    p90: 900.1,
    p95: 950.05,
    p99: 990.01,
    p999: 999.001,
    max: 1000,
  });
});

/** P(at most t of n beyond), each exceeding with 1 %, by the definition. */
function atMost(t: number, n: number): number {
  let [sum, term] = [0, 0.99 ** n];
  for (let k = 0; k <= t; k++) {
    sum += term;
    term *= ((n - k) / (k + 1)) * (0.01 / 0.99);
  }
  return sum;
}

test("p99Above() says nothing below 459 values, and then the largest", () => {
  expect([p99Above([]), p99Above(upTo(458)), p99Above(upTo(459))]).toEqual([
    undefined,
    undefined,
    459,
  ]);
});

test("p99Above() leaves out as many of the largest as the doubt of 1 % allows, and no more", () => {
  for (const n of [700, 1024, 5000, 20_000]) {
    const t = n - (p99Above(upTo(n)) ?? 0);
    expect([atMost(t, n) <= 0.01, atMost(t + 1, n) > 0.01]).toEqual([true, true]);
  }
  // Where 0.99^n is 0 as a double; for many values it comes near the p99 itself.
  const many = 1_000_000;
  expect((p99Above(upTo(many)) ?? 0) / many).toBeWithin(0.99, 0.9903);
});
