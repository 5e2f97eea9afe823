import { expect, test } from "bun:test";
import { columnStatistics } from "../dataset/column_statistics.ts";
import { createRandom } from "../base/random.ts";
import { renderCoverage, sparkline, type TermCoverage, termCoverage } from "./coverage.ts";

/** Four rows of three columns; the last never changes. */
const DATA = Float32Array.of(1, -2, 7, 2, 2, 7, 3, -2, 7, 6, 2, 7);
const TERMS = [
  { name: "speed", size: 2 },
  { name: "command", size: 1 },
] as const;

test("columnStatistics() gives mean, population deviation and range of each column", () => {
  const sqrt = Math.sqrt((4 + 1 + 0 + 9) / 4);
  expect(columnStatistics(DATA, 3)).toEqual({
    mean: Float32Array.of(3, 0, 7),
    std: Float32Array.of(sqrt, 2, 0),
    min: Float32Array.of(1, -2, 7),
    max: Float32Array.of(6, 2, 7),
  });
});

test("columnStatistics() of one row has no deviation", () => {
  const row = Float32Array.of(4, -5);
  expect(columnStatistics(row, 2)).toEqual({
    mean: row,
    std: Float32Array.of(0, 0),
    min: row,
    max: row,
  });
});

test("columnStatistics() keeps its precision far from zero and over many rows", () => {
  const rows = 20_000;
  const data = Float32Array.from({ length: rows }, (_, i) => 1000 + (i % 2));
  const { mean, std } = columnStatistics(data, 1);
  expect([mean[0], std[0]]).toEqual([1000.5, 0.5]);
});

const NO_OUTLIERS = { count: 0, worst: null } as const;
/** A histogram with these bins filled. */
const bins = (filled: Record<number, number>): number[] =>
  Array.from({ length: 16 }, (_, bin) => filled[bin] ?? 0);

test("termCoverage() gives ranges, deviations, constant columns and a histogram per term", () => {
  const sqrt = Math.fround(Math.sqrt(3.5));
  expect(termCoverage(DATA, 3, TERMS)).toEqual([
    {
      term: "speed",
      size: 2,
      min: -2,
      max: 6,
      std: [sqrt, 2],
      constant: 0,
      saturated: 0,
      outliers: NO_OUTLIERS,
      histogram: bins({ 0: 2, 6: 1, 8: 3, 10: 1, 15: 1 }),
    },
    {
      term: "command",
      size: 1,
      min: 7,
      max: 7,
      std: [0, 0],
      constant: 1,
      saturated: 0,
      outliers: NO_OUTLIERS,
      histogram: bins({ 0: 4 }),
    },
  ]);
});

test("termCoverage() finds columns that stop at a limit, and not held or binary ones", () => {
  const random = createRandom(1);
  const rows = 1000;
  const clipped = (): number => Math.max(-1, Math.min(1, random.normal()));
  const held = (row: number): number => Math.sin(Math.floor(row / 100) + 1);
  const data = Float32Array.from({ length: rows * 4 }, (_, i) => {
    const row = Math.floor(i / 4);
    return [clipped(), held(row), row % 2, random.normal()][i % 4] as number;
  });
  const terms = ["clipped", "held", "binary", "free"].map((name) => ({ name, size: 1 }));
  const saturated = termCoverage(data, 4, terms).map((term) => [term.term, term.saturated]);
  expect(saturated).toEqual([
    ["clipped", 1],
    ["held", 0],
    ["binary", 0],
    ["free", 0],
  ]);
});

test("termCoverage() counts values far from all others, and shows the worst", () => {
  const random = createRandom(2);
  const data = Float32Array.from({ length: 2000 }, () => random.uniform());
  data.set([9], 100);
  data.set([-20], 301);
  const [{ outliers }] = termCoverage(data, 2, [{ name: "x", size: 2 }]) as [TermCoverage];
  expect(outliers).toEqual({
    count: 2,
    worst: { row: 150, column: 1, value: -20, sigma: expect.any(Number) },
  });
  expect(outliers.worst?.sigma).toBeWithin(25, 32);
});

test("sparkline() draws bins by their share of the largest, and empty ones as dots", () => {
  expect(sparkline([0, 1, 4, 8])).toBe("·▁▄█");
  expect(sparkline([1, 1000])).toBe("▁█");
});

test("renderCoverage() shows one line a term", () => {
  expect(renderCoverage(termCoverage(DATA, 3, TERMS))).toBe(
    [
      "term     size  min  max  std        constant  saturated  outliers  values",
      "speed       2   -2    6  1.87 to 2  none      none       none      ▆·····▃·█·▃····▃",
      "command     1    7    7  0 to 0     1         none       none      █···············",
    ].join("\n"),
  );
});
