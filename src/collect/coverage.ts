/**
 * What a calibration set covers, per term of the observation: a column that never changes, or a
 * term that hardly moves, tells that the set is too narrow to calibrate on.
 */

import { present } from "../base/assert.ts";
import { figure, table } from "../cli/output.ts";

export interface ColumnStatistics {
  readonly mean: Float32Array<ArrayBuffer>;
  readonly std: Float32Array<ArrayBuffer>;
  readonly min: Float32Array;
  readonly max: Float32Array;
}

export interface TermCoverage {
  readonly term: string;
  readonly size: number;
  readonly min: number;
  readonly max: number;
  /** Smallest and largest standard deviation of its columns. */
  readonly std: readonly [number, number];
  /** Columns that hold one value only. */
  readonly constant: number;
}

/** Mean, population standard deviation and range of each column of [rows, width] data. */
export function columnStatistics(data: Float32Array, width: number): ColumnStatistics {
  const rows = data.length / width;
  const column = (i: number): Float64Array =>
    Float64Array.from({ length: rows }, (_, row) => present(data[row * width + i]));
  const statistics = Array.from({ length: width }, (_, i) => {
    const values = column(i);
    const mean = values.reduce((sum, value) => sum + value, 0) / rows;
    const square = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / rows;
    const min = values.reduce((low, value) => Math.min(low, value), Infinity);
    const max = values.reduce((high, value) => Math.max(high, value), -Infinity);
    return { mean, std: Math.sqrt(square), min, max };
  });
  const pick = (key: "mean" | "std" | "min" | "max"): Float32Array<ArrayBuffer> =>
    Float32Array.from(statistics, (one) => one[key]);
  return { mean: pick("mean"), std: pick("std"), min: pick("min"), max: pick("max") };
}

export function termCoverage(
  statistics: ColumnStatistics,
  terms: readonly { readonly name: string; readonly size: number }[],
): TermCoverage[] {
  let at = 0;
  return terms.map(({ name, size }) => {
    const from = at;
    at += size;
    const part = (values: Float32Array): number[] => [...values.subarray(from, at)];
    const [low, high] = [part(statistics.min), part(statistics.max)];
    const std = part(statistics.std);
    return {
      term: name,
      size,
      min: Math.min(...low),
      max: Math.max(...high),
      std: [Math.min(...std), Math.max(...std)],
      constant: low.filter((value, i) => value === high[i]).length,
    };
  });
}

export function renderCoverage(coverage: readonly TermCoverage[]): string {
  const head = ["term", "size", "min", "max", "std", "constant columns"];
  const rows = coverage.map(({ term, size, min, max, std: [low, high], constant }) => [
    term,
    String(size),
    figure(min),
    figure(max),
    `${figure(low)} to ${figure(high)}`,
    constant === 0 ? "none" : String(constant),
  ]);
  return table(head, rows, ["size", "min", "max"]);
}
