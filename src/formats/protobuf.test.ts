import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { type Schema, decodeMessage, encodeMessage } from "./protobuf.ts";

const SCHEMA = {
  Thing: {
    int: [1, "int64"],
    name: [2, "string"],
    children: [3, "Thing", "repeated"],
    floats: [4, "float", "packed"],
    ints: [6, "int64", "repeated"],
    only: [7, "Thing"],
    small: [8, "int32"],
    unsigned: [9, "uint64"],
    double: [10, "double"],
    data: [11, "bytes"],
    float: [12, "float"],
  },
} as const satisfies Schema;

const decode = (...bytes: number[]) => decodeMessage(SCHEMA, "Thing", Uint8Array.from(bytes));
const refusal = (...bytes: number[]) => failureOf(() => decode(...bytes));

test("decodeMessage() gives back what encodeMessage() was given", () => {
  const message = {
    int: -5,
    name: "é\u0000",
    children: [{}, { int: 0, children: [{ name: "" }] }],
    floats: [1.5, -0, Infinity],
    ints: [0, 1, -1],
    only: { data: Uint8Array.of(1, 2, 3) },
    small: -2147483648,
    unsigned: 2n ** 64n - 1n,
    double: 0.1,
    float: NaN,
  };
  expect(decodeMessage(SCHEMA, "Thing", encodeMessage(SCHEMA, "Thing", message))).toEqual(message);
});

test("decodeMessage() keeps 64-bit integers exact: a number when safe, else a bigint", () => {
  const limits = [2 ** 53 - 1, -(2 ** 53 - 1), 2n ** 53n, -(2n ** 63n), 2n ** 63n - 1n];
  const bytes = encodeMessage(SCHEMA, "Thing", { ints: limits });
  expect(decodeMessage(SCHEMA, "Thing", bytes)).toEqual({ ints: limits });
  expect(encodeMessage(SCHEMA, "Thing", { int: 7n })).toEqual(
    encodeMessage(SCHEMA, "Thing", { int: 7 }),
  );
});

test("decodeMessage() reads repeated numbers packed, one by one, and mixed", () => {
  const one = [0, 0, 0x80, 0x3f];
  expect(decode(0x22, 8, ...one, ...one)).toEqual({ floats: [1, 1] });
  expect(decode(0x25, ...one, 0x22, 4, ...one)).toEqual({ floats: [1, 1] });
  expect(decode(0x32, 2, 1, 2, 0x30, 3)).toEqual({ ints: [1, 2, 3] });
  expect(decode(0x32, 0)).toEqual({});
});

test("decodeMessage() keeps unnamed fields, and encodeMessage() puts them back in place", () => {
  // 5: varint, 13: fixed32, 14: bytes, 15: a group; between the named 4, 6 and 12.
  const bytes = Uint8Array.from(
    Buffer.from("22040000803f 289601 3003 6d01020304 72020809 7b08017c".replaceAll(" ", ""), "hex"),
  );
  const message = decodeMessage(SCHEMA, "Thing", bytes);
  expect(message).toEqual({
    floats: [1],
    ints: [3],
    unknown: [
      { number: 5, bytes: Uint8Array.of(0x28, 0x96, 1) },
      { number: 13, bytes: Uint8Array.of(0x6d, 1, 2, 3, 4) },
      { number: 14, bytes: Uint8Array.of(0x72, 2, 8, 9) },
      { number: 15, bytes: Uint8Array.of(0x7b, 0x08, 1, 0x7c) },
    ],
  });
  expect(encodeMessage(SCHEMA, "Thing", message)).toEqual(bytes);
});

test("decodeMessage() keeps presence: a zero that is there stays there", () => {
  const bytes = Uint8Array.of(0x08, 0, 0x12, 0, 0x3a, 0);
  expect(decode(...bytes)).toEqual({ int: 0, name: "", only: {} });
  expect(encodeMessage(SCHEMA, "Thing", decode(...bytes))).toEqual(bytes);
});

const HOSTILE: readonly (readonly [attack: string, bytes: number[], problem: string])[] = [
  ["a tag that is cut off", [0x80], "Thing at byte 0: the bytes end within it"],
  [
    "a varint without an end",
    [0x08, ...Array.from({ length: 11 }, () => 0xff)],
    "Thing.int at byte 0: invalid varint",
  ],
  ["a field number 0", [0x00, 0x00], "Thing at byte 0: illegal tag: field no 0 wire type 0"],
  ["a float that is cut off", [0x65, 0, 0], "Thing.float at byte 0: the bytes end within it"],
  [
    "a message longer than the file",
    [0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f],
    "Thing.only at byte 0: it needs 4294967295 bytes, but 0 are left",
  ],
  [
    "bytes longer than the file",
    [0x08, 1, 0x5a, 9, 1],
    "Thing.data at byte 2: the bytes end within it",
  ],
  [
    "a child that outgrows its parent",
    [0x3a, 4, 0x3a, 9, 0x08, 1, ...Array.from({ length: 7 }, () => 0)],
    "Thing at byte 6: illegal tag: field no 0 wire type 0",
  ],
  [
    "a string that outgrows its message",
    [0x3a, 3, 0x12, 2, 65, 65],
    "Thing.name at byte 2: it goes beyond the end of its message, 5",
  ],
  [
    "a packed run that is not whole",
    [0x32, 1, 0x80, 0x08, 1],
    "Thing.ints at byte 0: an element goes beyond the end of the run, 3",
  ],
  ["a field that is there twice", [0x08, 1, 0x08, 2], "Thing.int at byte 2: it is there twice"],
  ["a message that is there twice", [0x3a, 0, 0x3a, 0], "Thing.only at byte 2: it is there twice"],
  ["a string of another wire type", [0x10, 1], "Thing.name at byte 0: wire type 0, need 2"],
  ["text that is not UTF-8", [0x12, 1, 0xff], "Thing.name at byte 0: "],
  ["a group that never ends", [0x7b, 0x08, 1], "Thing at byte 0: the bytes end within it"],
  ["an end of a group that never began", [0x7c], "Thing at byte 0: cant skip wire type 4"],
  [
    "groups nested too deep",
    Array.from({ length: 10_000 }, () => 0x7b),
    "Thing at byte 0: maximum recursion depth reached",
  ],
];

for (const [attack, bytes, problem] of HOSTILE) {
  test(`decodeMessage() refuses ${attack}`, async () => {
    const { code, message } = await refusal(...bytes);
    expect([code, message.slice(0, 9 + problem.length)]).toEqual([
      "MALFORMED",
      `protobuf ${problem}`,
    ]);
  });
}

test("decodeMessage() refuses messages nested too deep", async () => {
  let message = {};
  for (let depth = 0; depth < 64; depth++) message = { only: message };
  const bytes = encodeMessage(SCHEMA, "Thing", message);
  expect<unknown>(decodeMessage(SCHEMA, "Thing", bytes)).toEqual(message);
  const deeper = encodeMessage(SCHEMA, "Thing", { only: message });
  expect(await failureOf(() => decodeMessage(SCHEMA, "Thing", deeper))).toMatchObject({
    code: "TOO_LARGE",
    message: expect.stringContaining("messages are nested deeper than 64"),
  });
});

test("decodeMessage() refuses a bomb of empty messages", async () => {
  const bytes = new Uint8Array(8_000_002);
  for (let i = 0; i < bytes.length; i += 2) bytes[i] = 0x1a;
  expect(await failureOf(() => decodeMessage(SCHEMA, "Thing", bytes))).toEqual({
    code: "TOO_LARGE",
    message: "protobuf Thing at byte 8000000: more than 4000000 fields",
  });
});

test("decodeMessage() reads any bytes, and what it reads survives another round", () => {
  const property = fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    try {
      const message = decodeMessage(SCHEMA, "Thing", bytes);
      const again = encodeMessage(SCHEMA, "Thing", message);
      expect(decodeMessage(SCHEMA, "Thing", again)).toEqual(message);
    } catch (error) {
      expect((error as Error).name).toBe("FormatError");
    }
  });
  fc.assert(property, { seed: 1, numRuns: 3000 });
});

test("decodeMessage() gives a message or FormatError for any damaged one", async () => {
  const bytes = encodeMessage(SCHEMA, "Thing", {
    int: 2n ** 60n,
    children: [{ name: "abc", floats: [1, 2, 3] }, { only: { ints: [1, -1] } }],
    data: Uint8Array.of(1, 2, 3),
    double: 0.5,
  });
  await fuzzDecoder(bytes, (damaged) => decodeMessage(SCHEMA, "Thing", damaged), { cases: 3000 });
});
