import { describe, expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { compareActions, errorQuantile } from "./statistics.ts";

const compare = (a: readonly number[], b: readonly number[], names: readonly string[] = ["x"]) =>
  compareActions(Float32Array.from(a), Float32Array.from(b), names);

/** Numbers that are equal but for the last bits. */
const near = (p50: number, p90: number, p99: number, p999: number) => ({
  p50: expect.closeTo(p50, 12),
  p90: expect.closeTo(p90, 12),
  p99: expect.closeTo(p99, 12),
  p999: expect.closeTo(p999, 12),
});

describe("compareActions()", () => {
  test("gives the figures of two samples of two outputs", () => {
    // Errors 0, 0 | 3, 1; cosine (3·0 + 4·5) / (5 · 5); signal 25 against noise 10.
    const comparison = compare([0, 0, 3, 4], [0, 0, 0, 5], ["hip", "knee"]);
    expect(comparison).toEqual({
      samples: 2,
      mae: 1,
      rmse: Math.sqrt(10 / 4),
      max: 3,
      quantiles: near(0.5, 2.4, 2.94, 2.994),
      cosine: 0.8,
      sqnrDb: 10 * Math.log10(25 / 10),
      perOutput: [
        {
          name: "hip",
          mae: 1.5,
          rmse: Math.sqrt(9 / 2),
          max: 3,
          quantiles: near(1.5, 2.7, 2.97, 2.997),
          cosine: 0,
          sqnrDb: 0,
        },
        {
          name: "knee",
          mae: 0.5,
          rmse: Math.sqrt(1 / 2),
          max: 1,
          quantiles: near(0.5, 0.9, 0.99, 0.999),
          cosine: 1,
          sqnrDb: 10 * Math.log10(16),
        },
      ],
      worst: { sample: 1, output: "hip", error: 3 },
      worstSamples: [
        { sample: 1, output: "hip", error: 3 },
        { sample: 0, output: "hip", error: 0 },
      ],
      errors: Float64Array.of(0, 0, 3, 1),
    });
  });

  test("finds nothing between equal actions, and no noise to measure", () => {
    const { mae, rmse, max, cosine, sqnrDb, worst } = compare([3, -4], [3, -4]);
    expect({ mae, rmse, max, cosine, sqnrDb, worst }).toEqual({
      mae: 0,
      rmse: 0,
      max: 0,
      cosine: 1,
      sqnrDb: null,
      worst: { sample: 0, output: "x", error: 0 },
    });
  });

  test("lists at most ten samples, the worst first and of equal ones the first", () => {
    const errors = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8];
    const { worstSamples } = compare(
      errors,
      errors.map(() => 0),
    );
    expect(worstSamples.map(({ sample }) => sample)).toEqual([5, 11, 7, 4, 8, 10, 2, 0, 9, 6]);
  });

  test("names the worst sample wherever it is, the first of several", () => {
    const worst = (b: readonly number[]) => compare([0, 0, 0, 0, 0, 0], b, ["x", "y"]).worst;
    expect([
      worst([-9, 0, 0, 0, 0, 0]),
      worst([1, 0, 0, 0, 0, -2]),
      worst([0, 0, 0, 5, 5, 0]),
    ]).toEqual([
      { sample: 0, output: "x", error: 9 },
      { sample: 2, output: "y", error: 2 },
      { sample: 1, output: "y", error: 5 },
    ]);
  });

  test("gives a cosine for every direction, and for no direction", () => {
    const cosine = (a: readonly number[], b: readonly number[]) => compare(a, b).cosine;
    expect([
      cosine([3, 4], [-3, -4]),
      cosine([1, 0], [0, 1]),
      cosine([3, 4], [30, 40]),
      cosine([0, 0], [0, 0]),
      cosine([0, 0], [0, 1]),
    ]).toEqual([-1, 0, 1, 1, 0]);
  });

  test("is the same both ways round, but for the signal that the noise is measured by", () => {
    const both = [
      compare([1, 2, 3, 4], [2, 2, 2, 9], ["x", "y"]),
      compare([2, 2, 2, 9], [1, 2, 3, 4], ["x", "y"]),
    ];
    const [one, other] = both.map(
      ({ mae, rmse, max, quantiles, cosine, worstSamples, errors }) => ({
        mae,
        rmse,
        max,
        quantiles,
        cosine,
        worstSamples,
        errors,
      }),
    );
    expect(one).toEqual(other);
    expect(both.map(({ sqnrDb }) => sqnrDb)).toEqual([
      10 * Math.log10(30 / 27),
      10 * Math.log10(93 / 27),
    ]);
  });

  const refused: readonly [what: string, a: number[], b: number[], message: string][] = [
    [
      "no samples",
      [],
      [],
      "Cannot compare actions: there are 0 and 0 numbers, " +
        "need as many of both, above zero and 2 per sample",
    ],
    [
      "different lengths",
      [1, 2, 3, 4],
      [1, 2],
      "Cannot compare actions: there are 4 and 2 numbers, " +
        "need as many of both, above zero and 2 per sample",
    ],
    [
      "half a sample",
      [1, 2, 3],
      [1, 2, 3],
      "Cannot compare actions: there are 3 and 3 numbers, " +
        "need as many of both, above zero and 2 per sample",
    ],
    [
      "NaN on one side",
      [1, 2, 3, 4],
      [1, 2, 3, Number.NaN],
      "Sample 1, knee: the actions are 4 and NaN, need finite numbers",
    ],
    [
      "infinity on the other",
      [-Infinity, 2],
      [1, 2],
      "Sample 0, hip: the actions are -Infinity and 1, need finite numbers",
    ],
    [
      "NaN on both sides",
      [Number.NaN, 2],
      [Number.NaN, 2],
      "Sample 0, hip: the actions are NaN and NaN, need finite numbers",
    ],
    [
      "the same infinity",
      [1, Infinity],
      [1, Infinity],
      "Sample 0, knee: the actions are Infinity and Infinity, need finite numbers",
    ],
  ];
  for (const [what, a, b, message] of refused) {
    test(`fails for ${what}`, async () => {
      expect(await refusalOf(() => compare(a, b, ["hip", "knee"]))).toEqual({
        code: "CHECK_FAILED",
        message,
      });
    });
  }

  test("asserts at least one output", () => {
    expect(() => compare([1], [1], [])).toThrow(new AssertionError("at least one output"));
  });
});

describe("errorQuantile()", () => {
  test("goes from the smallest error to the largest", () => {
    const comparison = compare([4, 1, 3, 2, 5], [0, 0, 0, 0, 0]);
    expect([0, 0.5, 0.6, 1].map((q) => errorQuantile(comparison, q))).toEqual([1, 3, 3.4, 5]);
  });
});
