import { expect, test } from "bun:test";
import { distinctRows, takeRows } from "./rows.ts";

test("distinctRows() gives the first of equal rows, and tells zeros of two signs apart", () => {
  const whole = Float32Array.of(9, 1, 2, 1, 3, 1, 2, 0, 0, -0, 0, 1, 3);
  expect(distinctRows(whole.subarray(1), 2)).toEqual([0, 1, 3, 4]);
});

test("takeRows() copies rows in the order that is asked for", () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6);
  expect(takeRows(data, 2, [2, 0])).toEqual(Float32Array.of(5, 6, 1, 2));
});
