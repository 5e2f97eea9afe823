import { expect, test } from "bun:test";
import { failureOf } from "./decoder_fixture.ts";
import {
  type DType,
  countElements,
  decodeElements,
  elementBytes,
  gatherElements,
  toFloat32,
} from "./tensor.ts";
import { bytesOf } from "./torch_fixture.ts";

const CASES: readonly (readonly [DType, ArrayBufferView, ReturnType<typeof decodeElements>])[] = [
  ["float16", Uint16Array.of(0x3c00, 0xc100), Float16Array.of(1, -2.5)],
  ["bfloat16", Uint16Array.of(0x3f80, 0xc020), Float32Array.of(1, -2.5)],
  ["float32", Float32Array.of(1, -2.5), Float32Array.of(1, -2.5)],
  ["float64", Float64Array.of(0.1), Float64Array.of(0.1)],
  ["int8", Int8Array.of(-1, 127), Int8Array.of(-1, 127)],
  ["uint8", Uint8Array.of(255), Uint8Array.of(255)],
  ["int16", Int16Array.of(-300), Int16Array.of(-300)],
  ["int32", Int32Array.of(-70_000), Int32Array.of(-70_000)],
  ["int64", BigInt64Array.of(-(2n ** 63n)), BigInt64Array.of(-(2n ** 63n))],
  ["bool", Uint8Array.of(0, 1), Uint8Array.of(0, 1)],
];

for (const [dtype, stored, elements] of CASES) {
  test(`decodeElements() reads ${dtype} of both byte orders, from any alignment`, () => {
    const little = bytesOf(stored);
    expect(decodeElements(dtype, little)).toEqual(elements);
    const size = elementBytes(dtype);
    const big = Uint8Array.from(
      little,
      (_, i) => little[i - (i % size) + size - 1 - (i % size)] ?? 0,
    );
    expect(decodeElements(dtype, big, false)).toEqual(elements);
    const unaligned = Uint8Array.of(9, ...little).subarray(1);
    expect(decodeElements(dtype, unaligned)).toEqual(elements);
  });
}

test("decodeElements() refuses bytes that are not whole elements", async () => {
  expect(await failureOf(() => decodeElements("float32", new Uint8Array(7)))).toEqual({
    code: "MALFORMED",
    message: "7 bytes are not whole float32 elements",
  });
});

test("toFloat32() rounds, keeps NaN and infinity, and returns float32 data itself", () => {
  const data = Float32Array.of(1);
  expect(toFloat32({ dtype: "float32", shape: [1], data })).toBe(data);
  const doubles = {
    dtype: "float64",
    shape: [4],
    data: Float64Array.of(0.1, NaN, 1e300, -Infinity),
  } as const;
  expect([...toFloat32(doubles)]).toEqual([Math.fround(0.1), NaN, Infinity, -Infinity]);
  const longs = { dtype: "int64", shape: [1], data: BigInt64Array.of(2n ** 60n + 1n) } as const;
  expect(toFloat32(longs)).toEqual(Float32Array.of(2 ** 60));
});

test("countElements() refuses what no file can hold", async () => {
  expect([countElements([]), countElements([2, 3]), countElements([2 ** 40, 0, 2 ** 40])]).toEqual([
    1, 6, 0,
  ]);
  const failures = await Promise.all([
    failureOf(() => countElements([2 ** 30, 2 ** 30])),
    failureOf(() => countElements([-1])),
    failureOf(() => countElements([1.5])),
    failureOf(() => countElements(Array.from({ length: 65 }, () => 1))),
  ]);
  expect(failures).toEqual([
    { code: "TOO_LARGE", message: "shape [1073741824, 1073741824] has too many elements" },
    { code: "MALFORMED", message: "shape [-1] is not made of sizes" },
    { code: "MALFORMED", message: "shape [1.5] is not made of sizes" },
    { code: "TOO_LARGE", message: "a tensor has 65 dimensions, at most 64 are taken" },
  ]);
});

test("gatherElements() follows strides and offset", () => {
  const bytes = Uint8Array.from({ length: 12 }, (_, i) => i);
  const gather = (shape: number[], strides: number[], offset: number) => [
    ...gatherElements(bytes, 1, { shape, strides, offset }),
  ];
  expect(gather([3, 4], [4, 1], 0)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect(gather([4, 3], [1, 4], 0)).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
  expect(gather([2, 2, 2], [6, 1, 2], 1)).toEqual([1, 3, 2, 4, 7, 9, 8, 10]);
  expect(gather([2, 1], [0, 2 ** 53 - 1], 5)).toEqual([5, 5]);
  expect(gather([], [], 7)).toEqual([7]);
  expect(gather([3, 0], [1, 1], 0)).toEqual([]);
  expect([...gatherElements(bytes, 2, { shape: [2], strides: [2], offset: 1 })]).toEqual([
    2, 3, 6, 7,
  ]);
});
