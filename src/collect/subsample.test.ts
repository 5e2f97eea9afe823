import { describe, expect, test } from "bun:test";
import { createRandom } from "../base/random.ts";
import { shareOut, subsample } from "./subsample.ts";

function draw(rows: number, width: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: rows * width }, () => random.normal());
}

/** Farthest point as the textbook has it, every distance computed. */
function farthest(data: Float32Array, width: number, chosen: number[], count: number): number[] {
  const rows = data.length / width;
  const distance = (a: number, b: number): number => {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += (data[a * width + i]! - data[b * width + i]!) ** 2;
    return sum;
  };
  while (chosen.length < count) {
    const nearest = Array.from({ length: rows }, (_, row) =>
      Math.min(...chosen.map((centre) => distance(row, centre))),
    );
    chosen.push(nearest.indexOf(Math.max(...nearest)));
  }
  return chosen;
}

/** Columns of mean 0 and deviation 1 exactly, up to rounding: four corners of a square. */
const CORNERS = Float32Array.of(1, 1, 1, -1, -1, 1, -1, -1);

describe("subsample()", () => {
  test("takes all corners of a square before any row between", async () => {
    const between = draw(200, 2, 3).map((value) => value / 20);
    const data = Float32Array.of(...between, ...CORNERS);
    const rows = await subsample(data, 2, { count: 5, seed: 1 });
    expect([...rows].slice(-4)).toEqual([200, 201, 202, 203]);
  });

  test("chooses the rows that the textbook's algorithm chooses", async () => {
    // Symmetric pairs make the columns' mean 0; a second scaling makes their deviation 1.
    const half = draw(150, 4, 5);
    const data = Float32Array.of(...half, ...half.map((value) => -value));
    for (let column = 0; column < 4; column++) {
      let square = 0;
      for (let at = column; at < data.length; at += 4) square += data[at]! ** 2;
      const deviation = Math.sqrt(square / 300);
      for (let at = column; at < data.length; at += 4) data[at]! /= deviation;
    }
    const rows = await subsample(data, 4, { count: 20, seed: 2 });
    const first = Math.floor(createRandom(2).uniform() * 300);
    expect([...rows]).toEqual(farthest(data, 4, [first], 20).sort((a, b) => a - b));
  });

  test("gives the same rows for the same seed, ascending and without repetition", async () => {
    const data = draw(500, 6, 7);
    const rows = await subsample(data, 6, { count: 50, seed: 3 });
    expect(await subsample(data, 6, { count: 50, seed: 3 })).toEqual(rows);
    expect(await subsample(data, 6, { count: 50, seed: 4 })).not.toEqual(rows);
    expect([...new Set(rows)].sort((a, b) => a - b)).toEqual([...rows]);
    expect(rows.length).toBe(50);
  });

  test("takes no row twice: there may be fewer distinct ones than asked for", async () => {
    const data = Float32Array.of(...CORNERS, ...CORNERS, ...CORNERS);
    expect((await subsample(data, 2, { count: 10, seed: 0 })).length).toBe(4);
  });

  test("takes as much of each stratum as there is", async () => {
    const data = draw(100, 3, 9);
    const strata = Int32Array.from({ length: 100 }, (_, row) => (row < 90 ? 0 : row < 98 ? 1 : 2));
    const rows = await subsample(data, 3, { count: 30, seed: 0, strata });
    const of = (stratum: number): number => rows.filter((row) => strata[row] === stratum).length;
    expect([of(0), of(1), of(2)]).toEqual([20, 8, 2]);
  });
});

test("shareOut() gives equal shares, and to the others what a small group leaves", () => {
  expect(shareOut([10, 10, 10], 9)).toEqual([3, 3, 3]);
  expect(shareOut([100, 1, 5], 30)).toEqual([24, 1, 5]);
  expect(shareOut([2, 3], 100)).toEqual([2, 3]);
  expect(shareOut([5, 5, 5], 2)).toEqual([1, 1, 0]);
});
