/**
 * Where to clip a histogram so that int8 loses the least information: Migacz, "8-bit inference
 * with TensorRT" (2017), on the signed and symmetric histogram that MXNet and ONNX Runtime take.
 *
 * rknn-toolkit2's own search is not published. Its thresholds, too, are centres of 1024 bins of
 * each sign, but this one chooses others: on the networks that were tried up to a fifth of the
 * range away. An emulation without the file therefore ranks kl candidates only roughly; where the
 * file is at hand its own scales are used, and the numbers are the toolkit's.
 */

/** Bins from −top to top. */
export const HISTOGRAM_BINS = 2048;
/** Steps that are told apart within the clipped range. */
const LEVELS = 128;

/** The share of `top` to keep, above LEVELS / HISTOGRAM_BINS and up to 1. */
export function divergenceThreshold(bins: Float64Array): number {
  const half = bins.length / 2;
  let [least, best] = [Infinity, half];
  for (let kept = LEVELS / 2; kept <= half; kept++) {
    const divergence = divergenceOf(bins, half - kept, half + kept);
    if (divergence < least) [least, best] = [divergence, kept];
  }
  return Math.min((best + 0.5) / half, 1);
}

/** KL divergence of bins `from`..`to`, what is outside in the outermost, from LEVELS of them. */
function divergenceOf(bins: Float64Array, from: number, to: number): number {
  const inner = bins.subarray(from, to);
  const clipped = inner.slice();
  clipped[0] = (clipped[0] as number) + sum(bins.subarray(0, from));
  const last = clipped.length - 1;
  clipped[last] = (clipped[last] as number) + sum(bins.subarray(to));
  return divergence(clipped, coarsen(inner));
}

/** Every level's count, spread evenly over those of its bins that are not empty. */
function coarsen(bins: Float64Array): Float64Array {
  const coarse = new Float64Array(bins.length);
  for (let level = 0; level < LEVELS; level++) {
    const start = Math.floor((level * bins.length) / LEVELS);
    const end = Math.floor(((level + 1) * bins.length) / LEVELS);
    const within = bins.subarray(start, end);
    const filled = within.reduce((count, value) => count + Number(value > 0), 0);
    const share = filled === 0 ? 0 : sum(within) / filled;
    for (let bin = start; bin < end; bin++) coarse[bin] = (bins[bin] as number) > 0 ? share : 0;
  }
  return coarse;
}

/** Infinite where `q` has nothing of what `p` has. */
function divergence(p: Float64Array, q: Float64Array): number {
  const [totalP, totalQ] = [sum(p), sum(q)];
  if (totalP === 0 || totalQ === 0) return Infinity;
  let result = 0;
  for (let i = 0; i < p.length; i++) {
    const [a, b] = [(p[i] as number) / totalP, (q[i] as number) / totalQ];
    if (a === 0) continue;
    if (b === 0) return Infinity;
    result += a * Math.log(a / b);
  }
  return result;
}

const sum = (values: Float64Array): number => {
  let total = 0;
  for (const value of values) total += value;
  return total;
};
