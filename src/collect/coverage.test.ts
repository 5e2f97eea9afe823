import { expect, test } from "bun:test";
import { columnStatistics } from "../dataset/column_statistics.ts";
import { renderCoverage, termCoverage } from "./coverage.ts";

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

test("termCoverage() gives range, deviations and constant columns of each term", () => {
  const sqrt = Math.fround(Math.sqrt(3.5));
  expect(termCoverage(columnStatistics(DATA, 3), TERMS)).toEqual([
    { term: "speed", size: 2, min: -2, max: 6, std: [sqrt, 2], constant: 0 },
    { term: "command", size: 1, min: 7, max: 7, std: [0, 0], constant: 1 },
  ]);
});

test("renderCoverage() shows one line a term", () => {
  const text = renderCoverage(termCoverage(columnStatistics(DATA, 3), TERMS));
  expect(text).toBe(
    [
      "term     size  min  max  std        constant columns",
      "speed       2   -2    6  1.87 to 2  none",
      "command     1    7    7  0 to 0     1",
    ].join("\n"),
  );
});
