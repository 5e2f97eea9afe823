import { describe, expect, test } from "bun:test";
import { statSync, truncateSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { writeNpy } from "../formats/npy.ts";
import { writeNpz } from "../formats/npz.ts";
import type { Tensor } from "../formats/tensor.ts";
import { runStep } from "../run_log/run_step_fixture.ts";
import { openRunLog } from "../run_log/write_run_log.ts";
import { readObservations, readSamples } from "./observations.ts";

const directory = temporaryDirectory();
let count = 0;

/** Writes an .npy, or an .npz where several arrays are given; returns its path. */
function write(content: Tensor | Record<string, Tensor>): string {
  const isOne = "dtype" in content;
  const path = join(directory, `d${count++}.${isOne ? "npy" : "npz"}`);
  writeFileSync(path, isOne ? writeNpy(content as Tensor) : writeNpz(content as never));
  return path;
}

function floats(shape: readonly number[], values?: readonly number[]): Tensor {
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  const data = Float32Array.from(values ?? Array.from({ length: size }, (_, i) => i));
  return { dtype: "float32", shape, data };
}

describe("readObservations()", () => {
  const expected = { rows: 2, data: Float32Array.of(0, 1, 2, 3, 4, 5) };

  test("reads an .npy, of float32 and of other numbers", async () => {
    const path = write(floats([2, 3]));
    expect(await readObservations(path, 3)).toEqual({ label: basename(path), ...expected });
    const doubles = {
      dtype: "float64",
      shape: [2, 3],
      data: Float64Array.from(Array(6).keys()),
    };
    const other = write(doubles as Tensor);
    expect(await readObservations(other, 3)).toEqual({ label: basename(other), ...expected });
  });

  test("reads the array obs of an .npz, or the only one", async () => {
    const two = write({ actions: floats([2, 1]), obs: floats([2, 3]) });
    const one = write({ whatever: floats([2, 3]) });
    expect(await readObservations(two, 3)).toMatchObject(expected);
    expect(await readObservations(one, 3)).toMatchObject(expected);
  });

  /** A log of steps with these observations; its name says nothing of its kind. */
  async function writeLog(...observations: (readonly number[])[]): Promise<string> {
    const path = join(directory, `log${count++}`);
    const log = await openRunLog(path, { environment: "a test" }, 1n);
    for (const [n, values] of observations.entries()) {
      await log.step(runStep(n + 1, { observation: Float32Array.from(values) }));
    }
    await log.end();
    return path;
  }

  test("reads the observations of a run's log, one that was cut off too", async () => {
    const whole = await writeLog([0, 1, 2], [3, 4, 5]);
    expect(await readObservations(whole, 3)).toEqual({ label: basename(whole), ...expected });
    const cut = await writeLog(...Array.from({ length: 400 }, (_, i) => [i, i / 3, -i]));
    truncateSync(cut, Math.floor(statSync(cut).size / 2));
    const rows: number[] = [];
    const lines = await linesDuring(async () => {
      const read = await readObservations(cut);
      rows.push(read.rows);
      expect(read.data.subarray(0, 6)).toEqual(Float32Array.of(0, 0, 0, 1, 1 / 3, -1));
    });
    expect(rows[0]).toBeWithin(50, 400);
    expect(lines).toEqual([
      `warning: ${cut}: its end is missing, the run was cut off; ${rows[0]} steps`,
    ]);
  });

  test("refuses a log of another policy, without steps, or of several widths", async () => {
    const [narrow, empty, mixed] = [
      await writeLog([1, 2]),
      await writeLog(),
      await writeLog([1, 2, 3], [1, 2]),
    ];
    expect([
      await refusalOf(() => readObservations(narrow, 3)),
      await refusalOf(() => readObservations(empty, 3)),
      await refusalOf(() => readObservations(mixed)),
    ]).toEqual([
      {
        code: "CONFIG",
        message:
          `Cannot use observations "${narrow}": they have shape [1, 2], ` +
          "need [rows, 3] with at least one row",
      },
      {
        code: "MALFORMED",
        message:
          `Cannot read observations "${empty}": it has no steps of a run, ` +
          "need a log that agent --log wrote",
      },
      {
        code: "MALFORMED",
        message: `Cannot read observations "${mixed}": step 1 has 2 numbers, the first has 3`,
      },
    ]);
  });

  test("leaves out rows that are not plausible; readSamples() gives all", async () => {
    const kinds = { dtype: "uint8", shape: [3], data: Uint8Array.of(0, 1, 2) } as const;
    const path = write({ obs: floats([3, 2]), kinds });
    const label = basename(path);
    expect([await readObservations(path, 2), await readSamples(path, 2)]).toEqual([
      { label, rows: 1, data: Float32Array.of(0, 1) },
      {
        label,
        rows: 3,
        data: Float32Array.of(0, 1, 2, 3, 4, 5),
        kinds: [
          { kind: "plausible", rows: 1 },
          { kind: "edge", rows: 1 },
          { kind: "adversarial", rows: 1 },
        ],
      },
    ]);
  });

  const unordered: readonly [what: string, values: readonly number[]][] = [
    ["no plausible row first", [1, 1, 2]],
    ["rows out of order", [0, 2, 1]],
    ["an unknown kind", [0, 1, 9]],
    ["another number of rows", [0, 1]],
    ["no row", []],
  ];
  for (const [what, values] of unordered) {
    test(`refuses kinds with ${what}`, async () => {
      const data = Uint8Array.from(values);
      const kinds = { dtype: "uint8", shape: [values.length], data } as const;
      const path = write({ obs: floats([3, 2]), kinds });
      expect(await refusalOf(() => readObservations(path, 2))).toEqual({
        code: "MALFORMED",
        message:
          `Cannot read observations "${path}": its array "kinds" does not say of each row in ` +
          "order what kind it is",
      });
    });
  }

  test("refuses an .npz of which it cannot tell the array", async () => {
    const many = write({ a: floats([2, 3]), b: floats([2, 3]) });
    const none = write({});
    expect([
      await refusalOf(() => readObservations(many, 3)),
      await refusalOf(() => readObservations(none, 3)),
    ]).toEqual([
      {
        code: "CONFIG",
        message: `Cannot use observations "${many}": the file holds "a", "b", need "obs"`,
      },
      {
        code: "CONFIG",
        message: `Cannot use observations "${none}": the file holds nothing, need "obs"`,
      },
    ]);
  });

  for (const shape of [[0, 3], [2, 4], [3, 2], [6], [1, 2, 3], [3], []]) {
    test(`refuses the shape [${shape.join(", ")}]`, async () => {
      const path = write(floats(shape));
      expect(await refusalOf(() => readObservations(path, 3))).toEqual({
        code: "CONFIG",
        message:
          `Cannot use observations "${path}": they have shape [${shape.join(", ")}], ` +
          "need [rows, 3] with at least one row",
      });
    });
  }

  for (const value of [NaN, Infinity, -Infinity]) {
    test(`refuses ${value}, and says where it is`, async () => {
      const path = write(floats([2, 3], [0, 1, 2, 3, value, 5]));
      expect(await refusalOf(() => readObservations(path, 3))).toEqual({
        code: "MALFORMED",
        message:
          `Cannot use observations "${path}": row 1, column 1 is ${value}, ` +
          "need finite numbers",
      });
    });
  }

  test("names the file that is not an array, or not there", async () => {
    const path = join(directory, "text.npy");
    writeFileSync(path, "not an array");
    expect(await refusalOf(() => readObservations(path, 3))).toEqual({
      code: "MALFORMED",
      message: `Cannot read observations "${path}": it begins with "not an", need an .npy file`,
    });
    expect(await refusalOf(async () => readObservations("none.npy", 3))).toEqual({
      code: "NOT_FOUND",
      message:
        'Cannot read observations "none.npy": there is no such file, need a set that ' +
        "lite3rl collect makes",
    });
  });
});
