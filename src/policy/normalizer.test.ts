import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { writeNpz } from "../formats/npz.ts";
import type { Tensor } from "../formats/tensor.ts";
import { checkStatsSize, createNormalizer, readObservationStats } from "./normalizer.ts";
import { DEMO_POLICY } from "./policy_fixture.ts";

const directory = temporaryDirectory();

const floats = (values: readonly number[], shape: readonly number[] = [values.length]): Tensor => ({
  dtype: "float32",
  shape,
  data: Float32Array.from(values),
});

const stats = (mean: readonly number[], std: readonly number[]) => ({
  mean: Float32Array.from(mean),
  std: Float32Array.from(std),
});

/** The path of a new .npz file with these arrays. */
function statsFile(arrays: Record<string, Tensor>): string {
  const bytes = writeNpz(arrays);
  const path = join(directory, `${sha256(bytes)}.npz`);
  writeFileSync(path, bytes);
  return path;
}

describe("createNormalizer()", () => {
  test("rounds the difference and the quotient to float32, as numpy does", () => {
    // One rounding at the end would give other float32 values; computed with CPython's struct.
    const mean = [1.9701735973358154, 1.5299160480499268, -1.775506854057312, -0.57284015417099];
    const std = [1.7268956899642944, 1.700084924697876, 1.7465198040008545, 0.7248519659042358];
    const observation = Float32Array.of(
      -1.2563749551773071,
      0.350322425365448,
      -0.2956372797489166,
      -0.060299549251794815,
    );
    createNormalizer(stats(mean, std)).apply(observation);
    expect([...observation]).toEqual([
      -1.8684097528457642, -0.6938439011573792, 0.8473248481750488, 0.7070968747138977,
    ]);
  });

  test("divides by 0.001 where std is smaller", () => {
    const { divisor, apply } = createNormalizer(stats([0, 0, 0, 0], [0, 0.0005, 0.001, 0.002]));
    const observation = Float32Array.of(0.5, 0.5, 0.5, 0.5);
    apply(observation);
    expect([[...divisor], [...observation]]).toEqual([
      [0.001, 0.001, 0.001, 0.002].map(Math.fround),
      [499.9999694824219, 499.9999694824219, 499.9999694824219, 249.99998474121094],
    ]);
  });

  test("normalises every row of a batch", () => {
    const observations = Float32Array.of(1, 2, 3, 4, 5, 6);
    createNormalizer(stats([1, 2], [2, 4])).apply(observations);
    expect([...observations]).toEqual([0, 0, 1, 0.5, 2, 1]);
  });

  test("keeps its own copy of the statistics", () => {
    const given = stats([1, 2], [2, 4]);
    const { mean, divisor } = createNormalizer(given);
    given.mean.fill(9);
    given.std.fill(9);
    expect([[...mean], [...divisor]]).toEqual([
      [1, 2],
      [2, 4],
    ]);
  });

  test("has the SHA-256 of mean and divisor as little-endian float32", () => {
    const hex = "0000803f_00000040_00004040_6f12833a".replaceAll("_", ""); // 1, 2, 3, 0.001
    expect(createNormalizer(stats([1, 2], [3, 0])).digest).toBe(sha256(Buffer.from(hex, "hex")));
  });

  test("has another digest for other values, and only then", () => {
    const digest = (mean: number[], std: number[]) => createNormalizer(stats(mean, std)).digest;
    const same = digest([1, 2], [3, 4]);
    const others = [
      digest([1.0000001, 2], [3, 4]),
      digest([1, 2], [3, 4.000001]),
      digest([2, 1], [3, 4]),
      digest([3, 4], [1, 2]),
    ];
    expect([digest([1, 2], [3, 4]), new Set([same, ...others]).size]).toEqual([same, 5]);
    expect(digest([1], [0])).toBe(digest([1], [0.001])); // They divide by the same number.
  });
});

describe("readObservationStats()", () => {
  test("reads the demo policy's", async () => {
    const { mean, std } = await readObservationStats(DEMO_POLICY.obsStats);
    expect([mean.length, std.length, [...std].every((value) => value > 0)]).toEqual([45, 45, true]);
  });

  test("reads either pair of names, [N] or [1, N], of any type of number", async () => {
    const expected = stats([1, -2], [3, 0]);
    const files = [
      { mean: floats([1, -2]), std: floats([3, 0]) },
      { obs_mean: floats([1, -2], [1, 2]), obs_std: floats([3, 0], [1, 2]) },
      {
        count: floats([100], []),
        std: { dtype: "int64", shape: [2], data: BigInt64Array.of(3n, 0n) },
        mean: { dtype: "float64", shape: [2], data: Float64Array.of(1, -2) },
      },
    ] as const satisfies Record<string, Tensor>[];
    for (const arrays of files) {
      expect(await readObservationStats(statsFile(arrays))).toEqual(expected);
    }
  });

  const two = floats([1, 2]);
  const refused: readonly [what: string, arrays: Record<string, Tensor>, reason: string][] = [
    ["no arrays", {}, 'it holds no arrays, need "mean" or "obs_mean"'],
    ["no mean", { std: two }, 'it holds "std", need "mean" or "obs_mean"'],
    ["no std", { mean: two, var: two }, 'it holds "mean", "var", need "std" or "obs_std"'],
    [
      "two dimensions",
      { mean: floats([1, 2, 3, 4], [2, 2]), std: two },
      '"mean" has shape [2, 2], need [N]',
    ],
    ["no values", { mean: floats([]), std: two }, '"mean" has shape [0], need [N]'],
    [
      "different lengths",
      { mean: two, std: floats([1, 2, 3]) },
      "mean has 2 values and std 3, need as many",
    ],
    ["NaN", { mean: floats([0, Number.NaN]), std: two }, "mean[1] is NaN, need finite numbers"],
    [
      "infinity",
      { mean: two, std: floats([Infinity, 1]) },
      "std[0] is Infinity, need finite numbers not below zero",
    ],
    [
      "float64 beyond float32",
      { mean: { dtype: "float64", shape: [2], data: Float64Array.of(0, 1e300) }, std: two },
      "mean[1] is Infinity, need finite numbers",
    ],
    [
      "a negative std",
      { mean: two, std: floats([1, -0.5]) },
      "std[1] is -0.5, need finite numbers not below zero",
    ],
  ];
  for (const [what, arrays, reason] of refused) {
    test(`refuses ${what}`, async () => {
      const path = statsFile(arrays);
      expect(await refusalOf(() => readObservationStats(path))).toEqual({
        code: "MALFORMED",
        message: `Cannot read observation statistics "${path}": ${reason}`,
      });
    });
  }

  test("refuses a file that is no archive, and none", async () => {
    const text = join(directory, "stats.txt");
    writeFileSync(text, "mean,std\n");
    const absent = join(directory, "absent.npz");
    expect([
      await refusalOf(() => readObservationStats(text)),
      await refusalOf(() => readObservationStats(absent)),
    ]).toEqual([
      {
        code: "MALFORMED",
        message:
          `Cannot read observation statistics "${text}": ` +
          'it begins with "mean,std\\n", need an .npz with mean and std',
      },
      { code: "NOT_FOUND", message: `Cannot read "${absent}": there is no such file, need a file` },
    ]);
  });
});

test("checkStatsSize() refuses statistics of another width than the policy's", async () => {
  const given = stats([1, 2], [3, 4]);
  checkStatsSize(given, "stats.npz", 2);
  expect(await refusalOf(() => checkStatsSize(given, "stats.npz", 45))).toEqual({
    code: "CONFIG",
    message:
      'Cannot use observation statistics "stats.npz": they have 2 values, ' +
      "the policy observes 45; name the file that belongs to it with --obs-stats",
  });
});
