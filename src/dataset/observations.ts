/**
 * The observations that both sides are given: a recorded set, or seeded ones.
 */

import { basename } from "node:path";
import { describeSource, FormatError, Lite3Error, quote } from "../base/errors.ts";
import { memorySource, readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { notice } from "../base/log.ts";
import { createRandom } from "../base/random.ts";
import { readNpy } from "../formats/npy.ts";
import { readNpz } from "../formats/npz.ts";
import { type Tensor, toFloat32 } from "../formats/tensor.ts";
import type { ObservationStats } from "../policy/normalizer.ts";
import { isRunLog, readRunLog } from "../run_log/read_run_log.ts";

export interface Observations {
  readonly label: string;
  readonly rows: number;
  /** Shape [rows, observationSize]. */
  readonly data: Float32Array;
}

/**
 * Reads observations [rows, width] from .npy, from the array `obs` of an .npz, or from the log of
 * a run (MCAP), a row for each of its steps; of any width where none is given.
 */
export function readObservations(path: string, width?: number): Promise<Observations> {
  return describeSource("Cannot read observations", path, async () => {
    const { shape, data } = isRunLog(path) ? observationsOfLog(path) : await readArray(path);
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
    return { label: basename(path), rows, data };
  });
}

interface Matrix {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

async function readArray(path: string): Promise<Matrix> {
  const bytes = readFile(path, LIMITS.modelBytes);
  const tensor = path.endsWith(".npz")
    ? chooseArray(await readNpz(memorySource(bytes)), path)
    : readNpy(bytes);
  return { shape: tensor.shape, data: toFloat32(tensor) };
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
  if (!complete) notice(`${path}: its end is missing, the run was cut off; ${rows.length} steps`);
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

/** Standard normal behind the normalizer; with statistics, as the robot would have it. */
export function generateObservations(
  rows: number,
  width: number,
  seed: number,
  stats: ObservationStats | undefined,
): Observations {
  const random = createRandom(seed);
  const data = Float32Array.from({ length: rows * width }, (_, i) => {
    const value = random.normal();
    if (stats === undefined) return value;
    const column = i % width;
    return (stats.mean[column] as number) + value * (stats.std[column] as number);
  });
  return { label: `generated, seed ${seed}`, rows, data };
}
