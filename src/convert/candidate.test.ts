import { describe, expect, test } from "bun:test";
import { estimateUs, FP16, W8A8, weightBytes } from "./candidate.ts";

/** Of 45-512-256-128-12, whose cycles the toolkit prints with `verbose=True`. */
const LAYERS = [
  { output: "a", op: "Gemm", weights: 45 * 512 },
  { output: "b", op: "Gemm", weights: 512 * 256 },
  { output: "c", op: "Gemm", weights: 256 * 128 },
  { output: "d", op: "Gemm", weights: 128 * 12 },
];
const PRINTED_CYCLES = { fp16: 2083 + 11191 + 2825 + 145, w8a8: 1171 + 5661 + 1445 + 82 };

describe("estimateUs()", () => {
  test("is near the cycles that the toolkit prints for the same layers", () => {
    expect(estimateUs(FP16, LAYERS) / (PRINTED_CYCLES.fp16 / 1000)).toBeWithin(0.95, 1.05);
    expect(estimateUs(W8A8, LAYERS) / (PRINTED_CYCLES.w8a8 / 1000)).toBeWithin(0.9, 1.05);
  });

  test("grows with every layer that stays float16", () => {
    const hybrid = (...float16Layers: string[]) =>
      ({ precision: "hybrid", float16Layers }) as const;
    const costs = [W8A8, hybrid("d"), hybrid("d", "b"), FP16].map((one) => estimateUs(one, LAYERS));
    expect(costs).toEqual(costs.toSorted((a, b) => a - b));
    expect(new Set(costs).size).toBe(4);
  });
});

test("weightBytes() counts two bytes for float16 and one for int8", () => {
  const all = 45 * 512 + 512 * 256 + 256 * 128 + 128 * 12;
  const hybrid = { precision: "hybrid", float16Layers: ["b"] } as const;
  expect([FP16, W8A8, hybrid].map((one) => weightBytes(one, LAYERS))).toEqual([
    2 * all,
    all,
    all + 512 * 256,
  ]);
});
