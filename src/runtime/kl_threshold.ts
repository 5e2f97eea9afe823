/**
 * Where to clip a histogram so that int8 loses the least information: Migacz, "8-bit inference
 * with TensorRT" (2017), as rknn-toolkit2 computes its `kl_divergence`.
 */

/** Bins of |x| from 0 to the largest. */
export const HISTOGRAM_BINS = 2048;
/** Steps of one sign of int8. */
const LEVELS = 128;

/** The share of the range to keep, from LEVELS / HISTOGRAM_BINS to 1. */
export function divergenceThreshold(bins: Float64Array): number {
  let best = { divergence: Infinity, kept: bins.length };
  const total = bins.reduce((sum, count) => sum + count, 0);
  let outside = total - bins.subarray(0, LEVELS).reduce((sum, count) => sum + count, 0);
  for (let kept = LEVELS; kept <= bins.length; kept++) {
    const divergence = divergenceOf(bins, kept, outside);
    if (divergence < best.divergence) best = { divergence, kept };
    outside -= bins[kept] ?? 0;
  }
  return best.kept / bins.length;
}

/** KL divergence of the first `kept` bins, clipped values in the last, from their LEVELS steps. */
function divergenceOf(bins: Float64Array, kept: number, outside: number): number {
  const clipped = bins.slice(0, kept);
  const coarse = new Float64Array(kept);
  for (let level = 0; level < LEVELS; level++) {
    const start = Math.floor((level * kept) / LEVELS);
    const end = Math.floor(((level + 1) * kept) / LEVELS);
    let [sum, filled] = [0, 0];
    for (let bin = start; bin < end; bin++) {
      const count = clipped[bin] as number;
      sum += count;
      if (count > 0) filled++;
    }
    for (let bin = start; bin < end; bin++) {
      if ((clipped[bin] as number) > 0) coarse[bin] = sum / filled;
    }
  }
  clipped[kept - 1] = (clipped[kept - 1] as number) + outside;
  return divergence(clipped, coarse);
}

function divergence(p: Float64Array, q: Float64Array): number {
  const [sumP, sumQ] = [p, q].map((values) => values.reduce((sum, value) => sum + value, 0)) as [
    number,
    number,
  ];
  if (sumP === 0 || sumQ === 0) return Infinity;
  let result = 0;
  for (let i = 0; i < p.length; i++) {
    const [a, b] = [(p[i] as number) / sumP, (q[i] as number) / sumQ];
    if (a === 0) continue;
    if (b === 0) return Infinity;
    result += a * Math.log(a / b);
  }
  return result;
}
