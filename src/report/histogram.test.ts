import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { logHistogram } from "./histogram.ts";

const anyNumbers = fc.array(fc.double());

test("logHistogram() counts every value exactly once", () => {
  fc.assert(
    fc.property(anyNumbers, fc.integer({ min: 1, max: 64 }), (values, binsMax) => {
      const { edges, counts, zeros, rejected } = logHistogram(values, binsMax);
      const counted = counts.reduce((sum, count) => sum + count, 0);
      expect(counted + zeros + rejected).toBe(values.length);
      expect(counts.length).toBeLessThanOrEqual(binsMax);
      expect(edges.length).toBe(counts.length === 0 ? 0 : counts.length + 1);
    }),
  );
});

test("logHistogram() puts each value between the edges of its bin", () => {
  const positive = fc.array(fc.double({ min: 1e-12, max: 1e12, noNaN: true }), { minLength: 1 });
  fc.assert(
    fc.property(positive, (values) => {
      const { edges, counts } = logHistogram(values);
      expect(edges.every((edge, i) => i === 0 || edge > (edges[i - 1] ?? edge))).toBe(true);
      const last = counts.length - 1;
      const recounted = counts.map((_, bin) => {
        const [low = 0, high = 0] = edges.slice(bin);
        return values.filter((v) => v >= low && (v < high || (bin === last && v <= high))).length;
      });
      expect(counts).toEqual(recounted);
    }),
  );
});

test("logHistogram() does not depend on the order of values", () => {
  fc.assert(
    fc.property(anyNumbers, (values) => {
      expect(logHistogram(values.toReversed())).toEqual(logHistogram(values));
    }),
  );
});

test("logHistogram() has no bins when no value is positive", () => {
  expect(logHistogram([0, -0, -1, Number.NaN, Number.POSITIVE_INFINITY])).toEqual({
    edges: [],
    counts: [],
    zeros: 2,
    rejected: 3,
  });
});
