/**
 * What a calibration set covers, per term of the observation: a column that never changes, a term
 * that hardly moves, or values that stop at a limit tell that the set is too narrow to calibrate
 * on; a few values far from all others stretch the range that int8 has to share.
 */

import { present } from "../base/assert.ts";
import { figure, table } from "../cli/output.ts";
import { columnStatistics } from "../dataset/column_statistics.ts";
import type { ObservationPart } from "../environment/environment.ts";

/** A value farther from its column's mean than so many deviations is an outlier. */
const OUTLIER_SIGMA = 6;
/**
 * A column is saturated when its least or greatest value is there in this share of the rows, and
 * so many times as often as its values are on average (a held command repeats all of its values).
 */
const SATURATED_SHARE = 0.01;
const SATURATED_TIMES = 3;
const HISTOGRAM_BINS = 16;
const BLOCKS = "▁▂▃▄▅▆▇█";

export interface Outlier {
  readonly row: number;
  readonly column: number;
  readonly value: number;
  /** Deviations from the column's mean. */
  readonly sigma: number;
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
  /** Columns with many values at their least or greatest, as clipping leaves them. */
  readonly saturated: number;
  readonly outliers: { readonly count: number; readonly worst: Outlier | null };
  /** Values in bins of equal width from `min` to `max`. */
  readonly histogram: readonly number[];
}

/** Coverage of each term of [rows, width] data; the terms' sizes add up to `width`. */
export function termCoverage(
  data: Float32Array,
  width: number,
  terms: readonly ObservationPart[],
): TermCoverage[] {
  const { mean, std, min, max } = columnStatistics(data, width);
  let at = 0;
  return terms.map(({ name, size }) => {
    const columns = Array.from({ length: size }, (_, i) => at + i);
    at += size;
    const of = (values: Float32Array): number[] => columns.map((column) => present(values[column]));
    const [low, high] = [Math.min(...of(min)), Math.max(...of(max))];
    return {
      term: name,
      size,
      min: low,
      max: high,
      std: [Math.min(...of(std)), Math.max(...of(std))],
      constant: columns.filter((column) => min[column] === max[column]).length,
      saturated: columns.filter((column) =>
        isSaturated(data, width, column, present(min[column]), present(max[column])),
      ).length,
      outliers: findOutliers(data, width, columns, mean, std),
      histogram: histogram(data, width, columns, low, high),
    };
  });
}

function isSaturated(
  data: Float32Array,
  width: number,
  column: number,
  min: number,
  max: number,
): boolean {
  if (min === max) return false;
  const rows = data.length / width;
  const values = new Set<number>();
  let [atMin, atMax] = [0, 0];
  for (let at = column; at < data.length; at += width) {
    const value = data[at] as number;
    values.add(value);
    if (value === min) atMin++;
    if (value === max) atMax++;
  }
  const limit = Math.max(SATURATED_SHARE * rows, (SATURATED_TIMES * rows) / values.size);
  return Math.max(atMin, atMax) > limit;
}

function findOutliers(
  data: Float32Array,
  width: number,
  columns: readonly number[],
  mean: Float32Array,
  std: Float32Array,
): TermCoverage["outliers"] {
  let count = 0;
  let worst: Outlier | null = null;
  for (const column of columns) {
    const [centre, deviation] = [present(mean[column]), present(std[column])];
    if (deviation === 0) continue;
    for (let at = column, row = 0; at < data.length; at += width, row++) {
      const value = data[at] as number;
      const sigma = Math.abs(value - centre) / deviation;
      if (sigma <= OUTLIER_SIGMA) continue;
      count++;
      if (worst === null || sigma > worst.sigma) worst = { row, column, value, sigma };
    }
  }
  return { count, worst };
}

function histogram(
  data: Float32Array,
  width: number,
  columns: readonly number[],
  min: number,
  max: number,
): number[] {
  const counts = Array<number>(HISTOGRAM_BINS).fill(0);
  const scale = max > min ? HISTOGRAM_BINS / (max - min) : 0;
  for (const column of columns) {
    for (let at = column; at < data.length; at += width) {
      const bin = Math.floor(((data[at] as number) - min) * scale);
      const place = Math.min(HISTOGRAM_BINS - 1, bin);
      counts[place] = present(counts[place]) + 1;
    }
  }
  return counts;
}

/** Bins as blocks of eight heights; an empty bin is a dot. */
export function sparkline(counts: readonly number[]): string {
  const most = Math.max(...counts);
  const block = (count: number): string =>
    count === 0 ? "·" : present(BLOCKS[Math.ceil((count / most) * BLOCKS.length) - 1]);
  return counts.map(block).join("");
}

export function renderCoverage(coverage: readonly TermCoverage[]): string {
  const head = ["term", "size", "min", "max", "std", "constant", "saturated", "outliers", "values"];
  const none = (count: number): string => (count === 0 ? "none" : String(count));
  const rows = coverage.map(({ term, size, min, max, std: [low, high], ...rest }) => {
    const { count, worst } = rest.outliers;
    return [
      term,
      String(size),
      figure(min),
      figure(max),
      `${figure(low)} to ${figure(high)}`,
      none(rest.constant),
      none(rest.saturated),
      worst === null ? "none" : `${count}, to ${worst.sigma.toFixed(0)}σ`,
      sparkline(rest.histogram),
    ];
  });
  return table(head, rows, ["size", "min", "max"]);
}
