import { describe, expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { compareActions } from "./statistics.ts";

const compare = (a: readonly number[], b: readonly number[], names: readonly string[] = ["x"]) =>
  compareActions(Float32Array.from(a), Float32Array.from(b), names);

describe("compareActions()", () => {
  test("gives the figures of two samples of two outputs", () => {
    // Errors 0, 0 | 3, 1; cosine (3·0 + 4·5) / (5 · 5).
    expect(compare([0, 0, 3, 4], [0, 0, 0, 5], ["hip", "knee"])).toEqual({
      samples: 2,
      mae: 1,
      max: 3,
      cosine: 0.8,
      perOutput: [
        { name: "hip", mae: 1.5, max: 3 },
        { name: "knee", mae: 0.5, max: 1 },
      ],
      worst: { sample: 1, output: "hip", error: 3 },
      errors: Float64Array.of(0, 0, 3, 1),
    });
  });

  test("finds nothing between equal actions", () => {
    expect(compare([3, -4], [3, -4])).toEqual({
      samples: 2,
      mae: 0,
      max: 0,
      cosine: 1,
      perOutput: [{ name: "x", mae: 0, max: 0 }],
      worst: { sample: 0, output: "x", error: 0 },
      errors: new Float64Array(2),
    });
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

  test("is the same both ways round", () => {
    const [a, b] = [
      [1, 2, 3, 4],
      [2, 2, 2, 9],
    ];
    expect(compare(a!, b!, ["x", "y"])).toEqual(compare(b!, a!, ["x", "y"]));
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
