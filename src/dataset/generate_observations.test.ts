import { describe, expect, test } from "bun:test";
import { generateObservations, generateSamples } from "./generate_observations.ts";
import { kindBlocks, plausibleRows } from "./sample_kinds.ts";

describe("generateObservations()", () => {
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  const column = (data: Float32Array, width: number, at: number): number[] =>
    [...data].filter((_, i) => i % width === at);

  test("draws standard normal numbers, the same for the same seed", () => {
    const { label, rows, data } = generateObservations(4000, 3, 7, undefined);
    expect({ label, rows, length: data.length }).toEqual({
      label: "generated, seed 7",
      rows: 4000,
      length: 12_000,
    });
    expect(Math.abs(mean([...data]))).toBeLessThan(0.05);
    expect(mean([...data].map((value) => value ** 2))).toBeWithin(0.95, 1.05);
    expect(generateObservations(4000, 3, 7, undefined).data).toEqual(data);
    expect(generateObservations(4000, 3, 8, undefined).data).not.toEqual(data);
  });

  test("draws around the statistics of each column, where there are some", () => {
    const stats = { mean: Float32Array.of(10, -5), std: Float32Array.of(0, 2) };
    const { data } = generateObservations(4000, 2, 0, stats);
    expect(new Set(column(data, 2, 0))).toEqual(new Set([10]));
    const second = column(data, 2, 1);
    expect(mean(second)).toBeWithin(-5.2, -4.8);
    expect(mean(second.map((value) => (value + 5) ** 2))).toBeWithin(3.6, 4.4);
  });
});

describe("generateSamples()", () => {
  const WIDTH = 2;
  const stats = { mean: Float32Array.of(1, -1), std: Float32Array.of(0.5, 2) };
  const rowsOf = (kind: string, set = generateSamples(3, WIDTH, 7, stats)): number[][] => {
    const block = kindBlocks(set).find((one) => one.kind === kind);
    if (block === undefined) throw new Error(`there are no ${kind} rows`);
    const { from, rows } = block;
    const row = (i: number) => [...set.data.subarray((from + i) * WIDTH, (from + i + 1) * WIDTH)];
    return Array.from({ length: rows }, (_, i) => row(i));
  };

  test("begins with the plausible rows, whatever comes after them", () => {
    const set = generateSamples(3, WIDTH, 7, stats);
    expect(plausibleRows(set)).toEqual(generateObservations(3, WIDTH, 7, stats));
    expect(kindBlocks(set)).toEqual([
      { kind: "plausible", from: 0, rows: 3 },
      { kind: "edge", from: 3, rows: 10 },
      { kind: "adversarial", from: 13, rows: 64 },
    ]);
    expect([set.rows, set.data.length, set.label]).toEqual([77, 154, "generated, seed 7"]);
  });

  test("has zeros, the mean, single columns and all at the edge, as the robot has them", () => {
    expect(rowsOf("edge")).toEqual([
      [0, 0],
      [1, -1],
      [-1.5, -1],
      [3.5, -1],
      [1, -11],
      [1, 9],
      [-1.5, -11],
      [3.5, 9],
      [-49, -201],
      [51, 199],
    ]);
  });

  test("has corners at three deviations by the seed, without statistics too", () => {
    const corners = rowsOf("adversarial", generateSamples(1, WIDTH, 7, undefined));
    expect(new Set(corners.flat())).toEqual(new Set([-3, 3]));
    expect(new Set(corners.map(String)).size).toBe(4);
    expect(rowsOf("adversarial", generateSamples(1, WIDTH, 7, undefined))).toEqual(corners);
    expect(rowsOf("adversarial", generateSamples(1, WIDTH, 8, undefined))).not.toEqual(corners);
  });

  test("tries some columns of a wide observation, evenly over it", () => {
    const [, edge] = kindBlocks(generateSamples(1, 4096, 0, undefined));
    expect(edge?.rows).toBe(2 + 2 * 128 + 4);
  });
});
