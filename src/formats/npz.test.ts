import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { memorySource, openFile } from "../base/files.ts";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { writeNpy } from "./npy.ts";
import { readNpz, writeNpz } from "./npz.ts";
import type { Tensor } from "./tensor.ts";
import { writeZip } from "./zip.ts";

const MEAN: Tensor = { dtype: "float32", shape: [2], data: Float32Array.of(1, 2) };
const COUNT: Tensor = { dtype: "int64", shape: [], data: BigInt64Array.of(3n) };
const read = (bytes: Uint8Array) => readNpz(memorySource(bytes));

/** numpy 2.4.6, `np.savez_compressed(f, a=np.zeros(100, '<f4'), b=np.array([1, 2, 3], '<i8'))`. */
const COMPRESSED = Buffer.from(
  "UEsDBC0AAAAIAAAAIQDvuX0b//////////8FABQAYS5ucHkBABAAEAIAAAAAAABLAAAAAAAAAJvsF+obEMnIUMZQrZ6SWpxcpG6loG6TZqKuo6Cell9UUpSYF59flJIKEndLzClOBYoXZyQWpAL5GoYGBjqaOgq1CmQDLoZRMKgAAFBLAwQtAAAACAAAACEAvJFVjv//////////BQAUAGIubnB5AQAQAJgAAAAAAAAATQAAAAAAAACb7BfqGxDJyFDGUK2eklqcXKRupaBuk2mhrqOgnpZfVFKUmBefX5SSChJ3S8wpTgWKF2ckFqQC+RrGOpo6CrUKFAAuRgYIYILSzFAaAFBLAQItAy0AAAAIAAAAIQDvuX0bSwAAABACAAAFAAAAAAAAAAAAAACAAQAAAABhLm5weVBLAQItAy0AAAAIAAAAIQC8kVWOTQAAAJgAAAAFAAAAAAAAAAAAAACAAYIAAABiLm5weVBLBQYAAAAAAgACAGYAAAAGAQAAAAA=",
  "base64",
);

test("readNpz() reads what numpy deflated", async () => {
  expect(await read(COMPRESSED)).toEqual(
    new Map<string, Tensor>([
      ["a", { dtype: "float32", shape: [100], data: new Float32Array(100) }],
      ["b", { dtype: "int64", shape: [3], data: BigInt64Array.of(1n, 2n, 3n) }],
    ]),
  );
});

test("readNpz() gives back what writeNpz() was given, in its order", async () => {
  const arrays = await read(writeNpz({ mean: MEAN, count: COUNT }));
  expect([...arrays]).toEqual([
    ["mean", MEAN],
    ["count", COUNT],
  ]);
  expect(writeNpz({ mean: MEAN })).toEqual(writeNpz({ mean: MEAN }));
});

test("readNpz() names the entry that is broken", async () => {
  const broken = writeZip({ "mean.npy": writeNpy(MEAN).subarray(0, -1) });
  expect(await failureOf(() => read(broken))).toEqual({
    code: "MALFORMED",
    message: 'entry "mean.npy": it has 7 bytes of data at offset 128, but <f4 of shape [2] needs 8',
  });
  expect(await failureOf(() => read(writeZip({ "policy.pth": writeNpy(MEAN) })))).toEqual({
    code: "MALFORMED",
    message: 'entry "policy.pth" is not an array, need only *.npy',
  });
});

test("readNpz() gives arrays or FormatError for any damaged archive", async () => {
  await fuzzDecoder(COMPRESSED, read, { cases: 1000 });
  await fuzzDecoder(writeNpz({ mean: MEAN, count: COUNT }), read, { cases: 1000 });
});

const DEMO = join(import.meta.dir, "../../fixtures/demo_policy");

describe("readNpz() on files that numpy wrote", () => {
  test("golden.npz and obs_stats.npz", async () => {
    using golden = openFile(join(DEMO, "golden.npz"));
    using stats = openFile(join(DEMO, "obs_stats.npz"));
    const shapes = [...(await readNpz(golden)), ...(await readNpz(stats))];
    expect(shapes.map(([name, { dtype, shape }]) => [name, dtype, shape])).toEqual([
      ["obs", "float32", [256, 45]],
      ["actions", "float32", [256, 12]],
      ["mean", "float32", [45]],
      ["std", "float32", [45]],
    ]);
  });
});
