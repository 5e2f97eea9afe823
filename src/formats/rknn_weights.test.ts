import { describe, expect, test } from "bun:test";
import { failureOf } from "./decoder_fixture.ts";
import type { RknnGraphTensor } from "./rknn_graph.ts";
import { biasOffset, decodeBias, decodeMatrix } from "./rknn_weights.ts";

type Parts = Partial<RknnGraphTensor> & { readonly bytes?: number };

/** A weight whose stored bytes count up from 0. */
function counting({ bytes = 0, ...more }: Parts): RknnGraphTensor {
  const data = Uint8Array.from({ length: bytes }, (_, i) => i);
  const content = { offset: 1000, data };
  return { name: "w", dtype: "int8", shape: [], stored: [], content, ...more };
}

describe("decodeMatrix()", () => {
  test("brings blocks into rows: groups of outputs, in each the tiles of its inputs", () => {
    // Two groups of two outputs, then one output; tiles of three inputs and one of two.
    const stored = [
      [2, 1, 1, 1, 2, 3],
      [2, 1, 1, 1, 2, 2],
      [1, 1, 1, 1, 1, 3],
      [1, 1, 1, 1, 1, 2],
    ].flat();
    const matrix = decodeMatrix(counting({ shape: [5, 4, 1, 1], stored, bytes: 25 }));
    const rows = [0, 1, 2, 3, 4].map((row) => [...matrix.values.subarray(row * 4, row * 4 + 4)]);
    expect(rows).toEqual([
      [0, 1, 2, 6],
      [3, 4, 5, 8],
      [10, 11, 12, 16],
      [13, 14, 15, 18],
      [20, 21, 22, 23],
    ]);
    expect([matrix.offsetOf(0, 0), matrix.offsetOf(1, 3), matrix.offsetOf(4, 3)]).toEqual([
      1000, 1008, 1023,
    ]);
  });

  const plain = { shape: [1, 2], stored: [1, 1, 1, 1, 1, 2], bytes: 2 } as const;

  test.each<[string, Parts, string]>([
    ["another type", { ...plain, dtype: "int64" }, 'tensor "w" is no weight of float16 or int8'],
    [
      "no matrix",
      { ...plain, shape: [1, 2, 3, 1] },
      'tensor "w" has shape [1, 2, 3, 1] in 2 bytes, need a matrix',
    ],
    [
      "a shape that the bytes cannot hold",
      { ...plain, shape: [2 ** 31 - 1, 2 ** 31 - 1] },
      'tensor "w" has shape [2147483647, 2147483647] in 2 bytes, need a matrix',
    ],
    [
      "blocks that leave inputs out",
      { ...plain, stored: [1, 1, 1, 1, 1, 1] },
      'tensor "w" has blocks [1, 1, 1, 1, 1, 1], which do not fill [1, 2]',
    ],
    [
      "blocks of no size",
      { ...plain, stored: [1, 1, 1, 1, 0, 2] },
      'tensor "w" has blocks [1, 1, 1, 1, 0, 2], which do not fill [1, 2]',
    ],
    [
      "blocks of more than the bytes",
      { ...plain, stored: [2 ** 30, 1, 1, 1, 1, 2] },
      'tensor "w" has 2 bytes, but its blocks [1073741824, 1, 1, 1, 1, 2] need 2147483648',
    ],
    [
      "half a block",
      { ...plain, stored: [1, 1, 1] },
      'tensor "w" has blocks [1, 1, 1], which do not fill [1, 2]',
    ],
  ])("refuses %s", async (_name, parts, message) => {
    expect((await failureOf(() => decodeMatrix(counting(parts)))).message).toBe(message);
  });
});

describe("decodeBias()", () => {
  test("reads groups of eight sums with their zero points and multipliers", () => {
    const data = new Uint8Array(256);
    const view = new DataView(data.buffer);
    for (let i = 0; i < 9; i++) {
      const start = 64 * Math.floor(i / 8);
      view.setInt32(start + 4 * (i % 8), -100 * i, true);
      view.setInt16(start + 32 + 2 * (i % 8), 10 - i, true);
      view.setUint16(start + 48 + 2 * (i % 8), 60_000 + i, true);
    }
    const bias = decodeBias(counting({ dtype: "int32", content: { offset: 500, data } }), 9);
    expect(bias).toEqual({
      dtype: "int32",
      values: Int32Array.of(0, -100, -200, -300, -400, -500, -600, -700, -800),
      offset: 500,
      channels: {
        zeroPoints: Int16Array.of(-10, -9, -8, -7, -6, -5, -4, -3, -2),
        multipliers: Uint16Array.from({ length: 9 }, (_, i) => 60_000 + i),
      },
    });
    expect([biasOffset(bias, 7), biasOffset(bias, 8)]).toEqual([528, 564]);
  });

  test("reads plain numbers where a layer has one scale", () => {
    const data = new Uint8Array(Int32Array.from({ length: 32 }, (_, i) => i - 2).buffer);
    expect(decodeBias(counting({ dtype: "int32", content: { offset: 8, data } }), 3)).toEqual({
      dtype: "int32",
      values: Int32Array.of(-2, -1, 0),
      offset: 8,
    });
  });

  test("refuses too few bytes", async () => {
    const short = counting({ dtype: "float32", bytes: 8 });
    expect((await failureOf(() => decodeBias(short, 3))).message).toBe(
      'tensor "w" has 8 bytes, but 3 outputs need 12',
    );
  });
});
