/**
 * Mean, deviation and range of each column of a set of observations.
 */

import { present } from "../base/assert.ts";

export interface ColumnStatistics {
  readonly mean: Float32Array<ArrayBuffer>;
  readonly std: Float32Array<ArrayBuffer>;
  readonly min: Float32Array;
  readonly max: Float32Array;
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
