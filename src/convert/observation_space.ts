/**
 * The space of a calibration set. A set holds observations as the robot has them; the toolkit and
 * the simulator must see what the network sees. A normalizer outside of the network is therefore
 * applied here, exactly once, and a set that evidently went through it already is refused.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { warn } from "../base/log.ts";
import { columnStatistics } from "../dataset/column_statistics.ts";
import type { Observations } from "../dataset/observations.ts";
import type { Normalizer } from "../policy/normalizer.ts";
import { chooseNormalizer, foldedNormalizer, type ModelFile } from "../runtime/open.ts";

export interface NetworkSpace {
  /** What belongs before the network; undefined where the network takes raw rows. */
  readonly normalizer: Normalizer | undefined;
  /** What raw observations are like, wherever that is known: also inside of the network. */
  readonly statistics: Normalizer | undefined;
}

/** Refuses `--obs-stats` that are missing, given twice, or another policy's. */
export async function chooseSpace(
  file: ModelFile,
  observationSize: number,
  obsStats: string | undefined,
): Promise<NetworkSpace> {
  const normalizer = await chooseNormalizer(file, observationSize, obsStats);
  return { normalizer, statistics: normalizer ?? foldedNormalizer(file) };
}

/** A raw set as the network sees it. */
export function toNetworkSpace(set: Observations, { normalizer }: NetworkSpace): Observations {
  if (normalizer === undefined) return set;
  const data = Float32Array.from(set.data);
  normalizer.apply(data);
  return { ...set, data };
}

/** Fewer columns that tell the spaces apart are no evidence. */
const COLUMNS_MIN = 3;
/** Share of those columns that must agree. */
const AGREEMENT = 0.8;
/** In units of one deviation: within, a column looks like the space; beyond, like another robot. */
const NEAR = 0.7;
const FAR = 2;

export interface SpaceEvidence {
  /** Columns whose raw and normalised values would look different. */
  readonly columns: number;
  /** How many of them look normalised rather than raw. */
  readonly normalisedColumns: number;
  /** Median distance of these columns from raw observations, and from normalised ones. */
  readonly fromRaw: number;
  readonly fromNormalised: number;
}

/**
 * Holds mean μ and deviation σ of each column against the statistics. The distance of a column
 * from a space with mean m and deviation s is √(((μ − m) / s)² + ln(σ / s)²): 0 where they agree,
 * 1 where mean or scale are off by one deviation or a factor of e. Columns whose raw space is
 * itself nearly normalised (distance below 1) tell nothing.
 */
export function spaceEvidence(set: Observations, statistics: Normalizer): SpaceEvidence {
  const { mean, std } = columnStatistics(set.data, statistics.size);
  const raw: number[] = [];
  const normalised: number[] = [];
  for (let i = 0; i < statistics.size; i++) {
    const m = statistics.mean[i] as number;
    const s = statistics.divisor[i] as number;
    const own = std[i] as number;
    if (own === 0 || Math.hypot(m, Math.log(s)) < 1) continue;
    raw.push(Math.hypot(((mean[i] as number) - m) / s, Math.log(own / s)));
    normalised.push(Math.hypot(mean[i] as number, Math.log(own)));
  }
  return {
    columns: raw.length,
    normalisedColumns: raw.filter((distance, i) => (normalised[i] as number) < distance).length,
    fromRaw: median(raw),
    fromNormalised: median(normalised),
  };
}

/** Refuses a set that was normalised before, and warns of one that fits the statistics badly. */
export function checkSpace(set: Observations, statistics: Normalizer): SpaceEvidence {
  const evidence = spaceEvidence(set, statistics);
  const { columns, normalisedColumns, fromNormalised } = evidence;
  if (columns >= COLUMNS_MIN && normalisedColumns >= AGREEMENT * columns && fromNormalised < NEAR) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot calibrate with ${quote(set.label)}: ${inWords(evidence)}, and it would be ` +
        "normalised twice; need observations as the robot has them, which lite3rl collect records",
    );
  }
  const warning = spaceWarning(evidence);
  if (warning !== undefined) warn(`${set.label}: ${warning}`);
  return evidence;
}

/** What is wrong with a set of that evidence, if something is. */
export function spaceWarning(evidence: SpaceEvidence): string | undefined {
  const { columns, normalisedColumns, fromRaw, fromNormalised } = evidence;
  if (columns < COLUMNS_MIN) return undefined;
  if (Math.min(fromRaw, fromNormalised) > FAR) {
    return (
      "its columns are far from the policy's statistics (median distance " +
      `${fromRaw.toFixed(2)} deviations): is it a set of this robot and policy?`
    );
  }
  if (normalisedColumns <= columns / 2) return undefined;
  return `${inWords(evidence)}: need raw observations`;
}

function inWords({ columns, normalisedColumns, fromRaw, fromNormalised }: SpaceEvidence): string {
  return (
    `${normalisedColumns} of ${columns} columns look normalised ` +
    `(median distance ${fromNormalised.toFixed(2)} from mean 0 and deviation 1, ` +
    `${fromRaw.toFixed(2)} from the policy's statistics)`
  );
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
