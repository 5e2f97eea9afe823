/**
 * Seeded observations: plausible ones, and those at the edge of what a policy may be given and in
 * corners that nothing but chance would meet.
 */

import { createRandom } from "../base/random.ts";
import type { ObservationStats } from "../policy/normalizer.ts";
import type { Observations } from "./observations.ts";

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

/** In deviations: where rl_games cuts normalised observations off (its RunningMeanStd). */
const EDGE = 5;
/** In deviations: where legged_gym cuts observations off (`clip_observations`). */
const CLIP = 100;
/** In deviations: beyond what one column in three hundred rows has by itself. */
const CORNER = 3;
const CORNERS = 64;
/** Columns that are tried alone; of a wider observation some, evenly over it. */
const COLUMNS_MAX = 128;

/**
 * `rows` plausible observations, those of `generateObservations()`, then:
 * - edge: zeros; the mean; each column alone at ±5 deviations; all at ±5 and at ±100
 * - adversarial: 64 corners, every column at +3 or −3 deviations
 */
export function generateSamples(
  rows: number,
  width: number,
  seed: number,
  stats: ObservationStats | undefined,
): Observations {
  const plausible = generateObservations(rows, width, seed, stats);
  const edges = edgeDeviations(width).map((row) => placeRow(row, stats));
  const edge = [new Float32Array(width), ...edges];
  const random = createRandom(seed);
  const adversarial = Array.from({ length: CORNERS }, () => {
    const row = Float32Array.from({ length: width }, () =>
      random.uniform() < 0.5 ? -CORNER : CORNER,
    );
    return placeRow(row, stats);
  });
  const data = new Float32Array((rows + edge.length + CORNERS) * width);
  data.set(plausible.data);
  [...edge, ...adversarial].forEach((row, i) => data.set(row, (rows + i) * width));
  return {
    label: plausible.label,
    rows: data.length / width,
    data,
    kinds: [
      { kind: "plausible", rows },
      { kind: "edge", rows: edge.length },
      { kind: "adversarial", rows: CORNERS },
    ],
  };
}

function edgeDeviations(width: number): Float32Array[] {
  const step = Math.ceil(width / COLUMNS_MAX);
  const alone = Array.from({ length: Math.ceil(width / step) }, (_, i) => i * step).flatMap(
    (column) =>
      [-EDGE, EDGE].map((value) => {
        const row = new Float32Array(width);
        row[column] = value;
        return row;
      }),
  );
  const all = [-EDGE, EDGE, -CLIP, CLIP].map((value) => new Float32Array(width).fill(value));
  return [new Float32Array(width), ...alone, ...all];
}

/** A row in deviations as the robot would have it. */
function placeRow(row: Float32Array, stats: ObservationStats | undefined): Float32Array {
  if (stats === undefined) return row;
  return row.map((value, i) => (stats.mean[i] as number) + value * (stats.std[i] as number));
}
