import { describe, expect, test } from "bun:test";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { type FlatTable, readFlatBuffer } from "./flatbuffer.ts";

/**
 * A root with an int32 (field 0), nothing (1), a string (2), int32s (3), float32s (4), and tables
 * (5): one of its own with an int8 (0).
 */
function sample(): Uint8Array {
  const bytes = new Uint8Array(124);
  const view = new DataView(bytes.buffer);
  const u16 = (at: number, ...values: number[]) =>
    values.forEach((value, i) => view.setUint16(at + 2 * i, value, true));
  const u32 = (at: number, ...values: number[]) =>
    values.forEach((value, i) => view.setUint32(at + 4 * i, value, true));
  u32(0, 24); // The root.
  u16(4, 16, 24, 4, 0, 8, 12, 16, 20); // Its list of offsets.
  u32(24, 20, 77, 56 - 32, 64 - 36, 76 - 40, 88 - 44); // The list is 20 before; then the fields.
  u32(56, 3);
  bytes.set(new TextEncoder().encode("Elu"), 60);
  u32(64, 2, 5, 0xffffffff);
  u32(76, 1);
  view.setFloat32(80, 0.5, true);
  u32(88, 1, 104 - 92);
  u16(96, 6, 5, 4); // Of the table at 104.
  u32(104, 8);
  view.setInt8(108, -7);
  return bytes;
}

const read = (table: FlatTable) => ({
  int: table.int32(0),
  absent: [table.int32(1), table.string(1), table.int32s(1), table.tables(9)],
  string: table.string(2),
  int32s: table.int32s(3),
  float32s: table.float32s(4),
  inner: table.tables(5).map((one) => one.int8(0)),
});

describe("readFlatBuffer()", () => {
  test("reads fields by their number, and defaults for those that are absent", () => {
    expect(read(readFlatBuffer(sample()))).toEqual({
      int: 77,
      absent: [0, "", [], []],
      string: "Elu",
      int32s: [5, -1],
      float32s: [0.5],
      inner: [-7],
    });
  });

  test("gives bytes as a view with their offset", () => {
    const { offset, data } = readFlatBuffer(sample()).bytes(2);
    expect([offset, [...data]]).toEqual([60, [0x45, 0x6c, 0x75]]);
  });

  test("refuses offsets and lengths that lead out of the buffer", async () => {
    const change = (at: number, value: number) => {
      const bytes = sample();
      new DataView(bytes.buffer).setUint32(at, value, true);
      return failureOf(() => read(readFlatBuffer(bytes)));
    };
    expect([await change(0, 2 ** 32 - 1), await change(56, 2 ** 31)]).toEqual([
      {
        code: "MALFORMED",
        message: "the FlatBuffer refers to 4 bytes at 4294967295, but has 124",
      },
      {
        code: "MALFORMED",
        message: "the FlatBuffer refers to 2147483648 bytes at 60, but has 124",
      },
    ]);
  });

  test("refuses more items than any table has", async () => {
    const bytes = new Uint8Array(sample().length + 1000);
    bytes.set(sample());
    new DataView(bytes.buffer).setUint32(64, 65, true);
    expect(await failureOf(() => read(readFlatBuffer(bytes)))).toEqual({
      code: "TOO_LARGE",
      message: "a vector of the FlatBuffer has 65 items, at most 64 are taken",
    });
  });

  test("gives values or a FormatError for damaged buffers", () =>
    fuzzDecoder(sample(), (bytes) => read(readFlatBuffer(bytes)), { cases: 2000 }));
});
