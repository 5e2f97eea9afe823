import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import type { Observations } from "../dataset/observations.ts";
import { checkSet, setWarnings } from "./set_checks.ts";

/** Columns: the row's number, a constant, its square. */
function set(rows: number): Observations {
  const data = Float32Array.from({ length: 3 * rows }, (_, at) => {
    const row = Math.floor(at / 3);
    return [row, 0.5, row * row][at % 3] as number;
  });
  return { label: "obs.npy", rows, data };
}

/** The same rows again. */
const twice = ({ label, rows, data }: Observations): Observations => ({
  label,
  rows: 2 * rows,
  data: Float32Array.of(...data, ...data),
});

describe("checkSet()", () => {
  test("counts repetitions and names columns that never change", () => {
    expect(checkSet(twice(set(10)))).toEqual({
      rows: 20,
      duplicates: 10,
      constantColumns: [{ column: 1, value: 0.5 }],
    });
  });

  test("refuses a set that is too small, and one that only looks large enough", async () => {
    const need = "need at least 10 to calibrate and to judge by: lite3rl collect records them";
    const refused = (found: string) => ({
      code: "CONFIG" as const,
      message: `Cannot calibrate with "obs.npy": it has ${found}, ${need}`,
    });
    expect(await refusalOf(() => checkSet(set(9)))).toEqual(refused("9 rows"));
    expect(await refusalOf(() => checkSet(twice(set(9))))).toEqual(refused("9 different rows"));
  });
});

describe("setWarnings()", () => {
  const good = { rows: 2048, duplicates: 0, constantColumns: [] };

  test("is silent about a good set, and about few rows where nothing is calibrated", () => {
    expect([
      ...setWarnings(good, "a", true),
      ...setWarnings({ ...good, rows: 100 }, "a", false),
    ]).toEqual([]);
  });

  test("gives numbers, and cuts a long list of columns", () => {
    const constantColumns = Array.from({ length: 9 }, (_, column) => ({ column, value: 0.1 }));
    expect(setWarnings({ rows: 100, duplicates: 3, constantColumns }, "a.npy", true)).toEqual([
      "a.npy has 100 rows: fewer than 1000 may miss what the robot sees",
      "a.npy: 3 of 100 rows are repetitions",
      "a.npy: constant in 9 columns: 0 (0.1), 1 (0.1), 2 (0.1), 3 (0.1), 4 (0.1), 5 (0.1), " +
        "6 (0.1), 7 (0.1), …",
    ]);
  });
});
