/**
 * The observations of a conversion, in the space that the network sees: those that calibrate, and
 * those that judge, which the toolkit never sees. Without a set they are generated, which is
 * enough to judge float16 and never to calibrate.
 */

import { Lite3Error } from "../base/errors.ts";
import { readFile, sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { notice, warn } from "../base/log.ts";
import { plural } from "../base/text.ts";
import { holdOut } from "../dataset/hold_out.ts";
import { generateObservations } from "../dataset/generate_observations.ts";
import { readObservations } from "../dataset/observations.ts";
import {
  checkSpace,
  chooseSpace,
  type SpaceEvidence,
  toNetworkSpace,
} from "./observation_space.ts";
import type { PreparedModel } from "./prepare_model.ts";
import { checkSet, type SetChecks, setWarnings } from "./set_checks.ts";

/** Observations that are generated where there is no set. */
const GENERATED_ROWS = 1024;
/** A verdict by fewer rows is nearly one by chance. */
const JUDGES_ENOUGH = 32;

export interface SampleOptions {
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly seed: number;
  /** What the set is needed for, if it is: `w8a8`. */
  readonly quantised: string | undefined;
}

export interface Samples {
  readonly label: string;
  /** Shape [calibrationRows, N]. */
  readonly calibration: Float32Array;
  readonly calibrationRows: number;
  /** Shape [heldOutRows, N]. */
  readonly heldOut: Float32Array;
  readonly heldOutRows: number;
  readonly seed: number;
  /** The file that they came from; null where they are generated. */
  readonly set: CalibrationSet | null;
}

export interface CalibrationSet extends SetChecks {
  readonly file: string;
  readonly sha256: string;
  /** Digest of the normalizer that was applied to the rows, if one was. */
  readonly normalisedBy: string | null;
  /** How the set fits the policy's statistics; null where those are not known. */
  readonly space: SpaceEvidence | null;
}

export async function chooseSamples(
  prepared: PreparedModel,
  options: SampleOptions,
): Promise<Samples> {
  const { file, shape } = prepared;
  const { dataset, obsStats, seed, quantised } = options;
  if (dataset === undefined && quantised !== undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot convert to ${quantised} without observations to calibrate with: ` +
        "need --dataset calib_obs.npy, which lite3rl collect records",
    );
  }
  if (dataset === undefined) return generateSamples(prepared, options);
  const raw = await readObservations(dataset, shape.observationSize);
  const checks = checkSet(raw);
  for (const sentence of setWarnings(checks, raw.label, quantised !== undefined)) warn(sentence);
  const space = await chooseSpace(file, shape.observationSize, obsStats);
  const evidence = space.statistics === undefined ? null : checkSpace(raw, space.statistics);
  const parts = holdOut(toNetworkSpace(raw, space), seed, shape.state.length > 0);
  if (parts.heldOutRows < JUDGES_ENOUGH) {
    warn(
      `${raw.label}: only ${plural(parts.heldOutRows, "row")} of it will judge: fewer than ` +
        `${JUDGES_ENOUGH} may pass by chance, and hide that columns are in another order`,
    );
  }
  return {
    label: raw.label,
    ...parts,
    seed,
    set: {
      ...checks,
      file: dataset,
      sha256: sha256(readFile(dataset, LIMITS.modelBytes)),
      normalisedBy: space.normalizer?.digest ?? null,
      space: evidence,
    },
  };
}

/** As behind a normalizer; where the network has its own, as before that one. */
async function generateSamples(
  { file, shape }: PreparedModel,
  { obsStats, seed }: SampleOptions,
): Promise<Samples> {
  const width = shape.observationSize;
  const isExternal = file.metadata?.normalizer === "external" && obsStats === undefined;
  const space = isExternal ? undefined : await chooseSpace(file, width, obsStats);
  const inside = space?.normalizer === undefined ? space?.statistics : undefined;
  const stats = inside && { mean: inside.mean, std: inside.divisor };
  const { label, rows, data } = generateObservations(GENERATED_ROWS, width, seed, stats);
  notice(`no --dataset: judged by ${rows} generated observations (seed ${seed})`);
  return {
    label,
    calibration: new Float32Array(0),
    calibrationRows: 0,
    heldOut: data,
    heldOutRows: rows,
    seed,
    set: null,
  };
}
