import { describe, expect, test } from "bun:test";
import { createRandom } from "../base/random.ts";
import { divergenceThreshold, HISTOGRAM_BINS } from "./kl_threshold.ts";

/** A histogram over −top..top. */
function histogramOf(values: readonly number[]): Float64Array {
  const top = values.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  const bins = new Float64Array(HISTOGRAM_BINS);
  for (const value of values) {
    const bin = Math.floor(((value / top + 1) / 2) * HISTOGRAM_BINS);
    const at = Math.min(bin, HISTOGRAM_BINS - 1);
    bins[at] = (bins[at] as number) + 1;
  }
  return bins;
}

const random = createRandom(4);
const bell = Array.from({ length: 20_000 }, () => random.normal());

describe("divergenceThreshold()", () => {
  test("keeps an even distribution whole", () => {
    expect(divergenceThreshold(new Float64Array(HISTOGRAM_BINS).fill(7))).toBe(1);
  });

  test("clips a lone outlier, and not much else", () => {
    const kept = divergenceThreshold(histogramOf([...bell, 12]));
    expect(kept * 12).toBeWithin(2.5, 5);
  });

  test("is the same for what is mirrored", () => {
    const values = [...bell.slice(0, 4000), 6];
    const mirrored = histogramOf(values).toReversed();
    expect(divergenceThreshold(mirrored)).toBeCloseTo(divergenceThreshold(histogramOf(values)), 2);
  });

  test("keeps everything of an empty histogram", () => {
    expect(divergenceThreshold(new Float64Array(HISTOGRAM_BINS))).toBe(1);
  });
});
