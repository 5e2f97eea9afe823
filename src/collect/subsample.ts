/**
 * Fewer rows that cover as much: k-centre by farthest point, over columns of equal deviation.
 *
 * Each new centre is the row farthest from all centres so far (Gonzalez 1985, at most twice the
 * best possible distance). A row needs no look when the new centre is at least twice as far from
 * the row's own centre as the row is: the triangle inequality; and a distance is not finished when
 * it is already larger than the row's. 100,000 rows of 45 take seconds so, not minutes.
 */

import { turnEventLoop } from "../base/event_loop.ts";
import { createRandom } from "../base/random.ts";
import { columnStatistics } from "../dataset/column_statistics.ts";

/** Centres between two turns for signals and progress. */
const CENTRES_PER_TURN = 16;

export interface SubsampleOptions {
  readonly count: number;
  readonly seed: number;
  /** One number per row: each stratum gets an equal share, as far as it has rows. */
  readonly strata?: Int32Array;
  readonly onChosen?: (done: number) => void;
}

/**
 * Indices of at most `count` rows of [rows, width] data, ascending; fewer when there are fewer
 * distinct rows. The same data and seed give the same rows.
 */
export async function subsample(
  data: Float32Array,
  width: number,
  options: SubsampleOptions,
): Promise<Int32Array> {
  const { count, seed, strata, onChosen } = options;
  const space = normalise(data, width);
  const random = createRandom(seed);
  const groups = strata === undefined ? [allRows(data.length / width)] : groupRows(strata);
  const quotas = shareOut(
    groups.map((rows) => rows.length),
    count,
  );
  const chosen: number[] = [];
  for (const [i, rows] of groups.entries()) {
    const quota = quotas[i] as number;
    if (quota === 0) continue;
    const first = Math.floor(random.uniform() * rows.length);
    const before = chosen.length;
    const report = (done: number): void => onChosen?.(before + done);
    chosen.push(...(await farthestPoints(space, width, rows, quota, first, report)));
  }
  return Int32Array.from(chosen).sort();
}

/** Equal shares of `total`; what a small group cannot use goes to the others. */
export function shareOut(sizes: readonly number[], total: number): number[] {
  const quotas = sizes.map(() => 0);
  const order = [...sizes.keys()].sort((a, b) => (sizes[a] as number) - (sizes[b] as number));
  let left = Math.min(
    total,
    sizes.reduce((sum, size) => sum + size, 0),
  );
  for (const [i, group] of order.entries()) {
    const share = Math.ceil(left / (order.length - i));
    quotas[group] = Math.min(sizes[group] as number, share);
    left -= quotas[group];
  }
  return quotas;
}

const allRows = (rows: number): Int32Array => Int32Array.from({ length: rows }, (_, i) => i);

function groupRows(strata: Int32Array): Int32Array[] {
  const groups = new Map<number, number[]>();
  for (const [row, stratum] of strata.entries()) {
    const group = groups.get(stratum);
    if (group === undefined) groups.set(stratum, [row]);
    else group.push(row);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, rows]) => Int32Array.from(rows));
}

/** Columns of mean 0 and deviation 1; constant ones, which tell rows not apart, become 0. */
function normalise(data: Float32Array, width: number): Float32Array {
  const { mean, std } = columnStatistics(data, width);
  return data.map((value, i) => {
    const column = i % width;
    const deviation = std[column] as number;
    return deviation === 0 ? 0 : (value - (mean[column] as number)) / deviation;
  });
}

async function farthestPoints(
  space: Float32Array,
  width: number,
  rows: Int32Array,
  count: number,
  first: number,
  onChosen: (done: number) => void,
): Promise<number[]> {
  const centres: number[] = [];
  /** Squared distance of each row to its nearest centre, and which that is. */
  const nearest = new Float32Array(rows.length).fill(Infinity);
  const owner = new Int32Array(rows.length);
  const toCentre = new Float32Array(count);
  let next = first;
  while (centres.length < count) {
    const centre = (rows[next] as number) * width;
    for (let k = 0; k < centres.length; k++) {
      toCentre[k] = distance(space, centre, (centres[k] as number) * width, width, Infinity);
    }
    const own = centres.length;
    centres.push(rows[next] as number);
    next = 0;
    for (let i = 0; i < rows.length; i++) {
      const best = nearest[i] as number;
      if (own === 0 || (toCentre[owner[i] as number] as number) < 4 * best) {
        const found = distance(space, centre, (rows[i] as number) * width, width, best);
        if (found < best) {
          nearest[i] = found;
          owner[i] = own;
        }
      }
      if ((nearest[i] as number) > (nearest[next] as number)) next = i;
    }
    if (nearest[next] === 0) break;
    if (centres.length % CENTRES_PER_TURN === 0) {
      onChosen(centres.length);
      await turnEventLoop();
    }
  }
  return centres;
}

/** Squared distance of two rows; any number from `enough` on where it is at least that. */
function distance(
  space: Float32Array,
  a: number,
  b: number,
  width: number,
  enough: number,
): number {
  let sum = 0;
  for (let i = 0; i < width; i++) {
    const difference = (space[a + i] as number) - (space[b + i] as number);
    sum += difference * difference;
    if (sum >= enough) return sum;
  }
  return sum;
}
