import { describe, expect, test } from "bun:test";
import { holdOut } from "./hold_out.ts";

/** Row i holds i and −i. */
function set(rows: number) {
  const data = Float32Array.from({ length: 2 * rows }, (_, at) =>
    at % 2 === 0 ? at / 2 : -(at - 1) / 2,
  );
  return { label: "set", rows, data };
}
const firsts = (data: Float32Array): number[] => Array.from(data).filter((_, at) => at % 2 === 0);

describe("holdOut()", () => {
  test("draws a fifth, and every row is in exactly one part, whole and in order", () => {
    const { calibration, heldOut, calibrationRows, heldOutRows } = holdOut(set(100), 3, false);
    const [kept, held] = [firsts(calibration), firsts(heldOut)];
    expect([calibrationRows, heldOutRows, kept.length, held.length]).toEqual([80, 20, 80, 20]);
    expect([...kept, ...held].sort((a, b) => a - b)).toEqual([...Array(100).keys()]);
    expect([kept, held].map((rows) => rows.toSorted((a, b) => a - b))).toEqual([kept, held]);
    expect(calibration.every((value, at) => at % 2 === 0 || value === -calibration[at - 1]!)).toBe(
      true,
    );
  });

  test("draws the same for the same seed, and others for another", () => {
    const held = (seed: number) => firsts(holdOut(set(100), seed, false).heldOut);
    expect(held(7)).toEqual(held(7));
    expect(held(8)).not.toEqual(held(7));
  });

  test("holds the end of a sequence out", () => {
    const { calibration, heldOut } = holdOut(set(10), 5, true);
    expect([firsts(calibration), firsts(heldOut)]).toEqual([
      [0, 1, 2, 3, 4, 5, 6, 7],
      [8, 9],
    ]);
  });

  test("draws no more of a long set than is of use", () => {
    const { calibration, heldOut } = holdOut(set(20_000), 1, false);
    const rows = [...firsts(calibration), ...firsts(heldOut)];
    expect([calibration.length, heldOut.length, new Set(rows).size]).toEqual([8192, 2048, 5120]);
  });

  test("puts no row in both parts where the set repeats it, but leaves a sequence whole", () => {
    const { data } = set(50);
    const repeated = {
      label: "set",
      rows: 200,
      data: Float32Array.from([...data, ...data, ...data, ...data]),
    };
    const { calibration, heldOut } = holdOut(repeated, 3, false);
    const rows = [...firsts(calibration), ...firsts(heldOut)];
    expect([calibration.length, heldOut.length, new Set(rows).size]).toEqual([80, 20, 50]);
    const { calibrationRows, heldOutRows } = holdOut(repeated, 3, true);
    expect([calibrationRows, heldOutRows]).toEqual([160, 40]);
  });

  test("leaves a row for each part of two", () => {
    const { calibrationRows, heldOutRows } = holdOut(set(2), 0, false);
    expect([calibrationRows, heldOutRows]).toEqual([1, 1]);
  });
});
