/**
 * The observations that both sides are given: a recorded set, or seeded ones.
 */

import { existsSync } from "node:fs";
import { basename } from "node:path";
import { describeSource, FormatError, Lite3Error, quote } from "../base/errors.ts";
import { memorySource, readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import { readNpy } from "../formats/npy.ts";
import { readNpz } from "../formats/npz.ts";
import { type Tensor, toFloat32 } from "../formats/tensor.ts";
import { isRunLog, readRunLog } from "../run_log/read_run_log.ts";
import { decodeKinds, type KindBlock, plausibleRows } from "./sample_kinds.ts";

export interface Observations {
  readonly label: string;
  readonly rows: number;
  /** Shape [rows, observationSize]. */
  readonly data: Float32Array;
  /** Of a set that was generated with more than plausible rows. */
  readonly kinds?: readonly KindBlock[];
}

/**
 * Reads observations [rows, width] from .npy, from the array `obs` of an .npz, or from the log of
 * a run (MCAP), a row for each of its steps; of any width where none is given. Rows that `parity`
 * generated beside the plausible ones are left out.
 */
export async function readObservations(path: string, width?: number): Promise<Observations> {
  return plausibleRows(await readSamples(path, width));
}

/** `readObservations()` with rows of all kinds. */
export function readSamples(path: string, width?: number): Promise<Observations> {
  return describeSource("Cannot read observations", path, async () => {
    if (!existsSync(path)) {
      throw new Lite3Error(
        "NOT_FOUND",
        `Cannot read observations ${quote(path)}: there is no such file, need a set that ` +
          "lite3rl collect makes",
      );
    }
    const { shape, data, kinds } = isRunLog(path) ? observationsOfLog(path) : await readArray(path);
    const [rows = 0, columns = 0] = shape;
    const isWidth = width === undefined ? columns > 0 : columns === width;
    if (shape.length !== 2 || !isWidth || rows === 0) {
      throw new Lite3Error(
        "CONFIG",
        `Cannot use observations ${quote(path)}: they have shape [${shape.join(", ")}], ` +
          `need [rows, ${width ?? "N"}] with at least one row`,
      );
    }
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new Lite3Error(
        "MALFORMED",
        `Cannot use observations ${quote(path)}: row ${Math.floor(bad / columns)}, column ` +
          `${bad % columns} is ${data[bad]}, need finite numbers`,
      );
    }
    const label = basename(path);
    if (kinds === undefined) return { label, rows, data };
    return { label, rows, data, kinds: decodeKinds(kinds, rows) };
  });
}

interface Matrix {
  readonly shape: readonly number[];
  readonly data: Float32Array;
  readonly kinds?: Tensor | undefined;
}

async function readArray(path: string): Promise<Matrix> {
  const bytes = readFile(path, LIMITS.modelBytes);
  if (!path.endsWith(".npz")) {
    const tensor = readNpy(bytes);
    return { shape: tensor.shape, data: toFloat32(tensor) };
  }
  const arrays = await readNpz(memorySource(bytes));
  const tensor = chooseArray(arrays, path);
  const kinds = arrays.has("obs") ? arrays.get("kinds") : undefined;
  return { shape: tensor.shape, data: toFloat32(tensor), kinds };
}

/** As the robot had them: the log is written before any normalizer. */
function observationsOfLog(path: string): Matrix {
  const rows: Float32Array[] = [];
  const { complete } = readRunLog(path, ({ observation }) => {
    const [first = observation] = rows;
    if (observation.length !== first.length) {
      throw new FormatError(
        `step ${rows.length} has ${observation.length} numbers, the first has ${first.length}`,
      );
    }
    rows.push(observation);
  });
  if (!complete) warn(`${path}: its end is missing, the run was cut off; ${rows.length} steps`);
  const columns = rows[0]?.length ?? 0;
  const data = new Float32Array(rows.length * columns);
  for (const [i, row] of rows.entries()) data.set(row, i * columns);
  return { shape: [rows.length, columns], data };
}

function chooseArray(arrays: ReadonlyMap<string, Tensor>, path: string): Tensor {
  const chosen = arrays.get("obs") ?? (arrays.size === 1 ? [...arrays.values()][0] : undefined);
  if (chosen !== undefined) return chosen;
  const found = [...arrays.keys()].map(quote).join(", ") || "nothing";
  throw new Lite3Error(
    "CONFIG",
    `Cannot use observations ${quote(path)}: the file holds ${found}, need "obs"`,
  );
}
