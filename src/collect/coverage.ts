/**
 * What a calibration set covers, per term of the observation: a column that never changes, or a
 * term that hardly moves, tells that the set is too narrow to calibrate on.
 */

import { figure, table } from "../cli/output.ts";
import type { ColumnStatistics } from "../dataset/column_statistics.ts";

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
