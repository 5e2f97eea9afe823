import { expect, test } from "bun:test";
import { AssertionError } from "../src/base/assert.ts";
import {
  addressOf,
  defineStruct,
  f32,
  i32,
  i64,
  i8,
  memoryAt,
  recordAt,
  Records,
  text,
  u32,
  u32Array,
  u64,
  u8,
} from "./struct.ts";

const Every = defineStruct("every", 72, {
  a: u8(0),
  b: i8(1),
  c: u32(4),
  d: i32(8),
  e: f32(12),
  f: u64(16),
  g: i64(24),
  h: u32Array(32, 3),
  i: text(44, 8),
});

/** Values at the ends of their kinds. */
const VALUES = {
  a: 255,
  b: -128,
  c: 4_294_967_295,
  d: -2_147_483_648,
  e: 0.5,
  f: 2n ** 64n - 1n,
  g: -(2n ** 63n),
  h: [1, 2, 3],
  i: "name",
} as const;

test("Records read back what was written, each kind at its ends, and nothing beside it", () => {
  const records = new Records(Every, 3);
  for (const [key, value] of Object.entries(VALUES)) records.set(key as "a", value as 255, 1);
  const read = (index: number) =>
    Object.fromEntries(Object.keys(VALUES).map((key) => [key, records.get(key as "a", index)]));
  expect(read(1) as unknown).toEqual(VALUES);
  const zeros = { a: 0, b: 0, c: 0, d: 0, e: 0, f: 0n, g: 0n, h: [0, 0, 0], i: "" };
  expect([read(0), read(2)] as unknown[]).toEqual([zeros, zeros]);
  expect(records.bytes).toHaveLength(3 * 72);
});

test("Records cut text that is too long, and end it with a zero", () => {
  const records = new Records(Every);
  records.set("i", "much too long");
  expect([records.get("i"), records.bytes[51]]).toEqual(["much to", 0]);
  records.bytes.fill(65, 44, 52); // As C leaves it when there is no room for the zero.
  expect(records.get("i")).toBe("AAAAAAAA");
});

test("Records assert indices and counts", () => {
  const records = new Records(Every, 2);
  expect(() => records.get("a", 2)).toThrow(AssertionError);
  expect(() => records.get("a", -1)).toThrow(AssertionError);
  expect(() => records.set("h", [1, 2, 3, 4])).toThrow(AssertionError);
});

test("defineStruct() refuses fields that overlap or do not fit", () => {
  expect(() => defineStruct("s", 8, { a: u32(0), b: u32(2) })).toThrow(AssertionError);
  expect(() => defineStruct("s", 8, { a: u32(6) })).toThrow(AssertionError);
});

test("recordAt() and memoryAt() see the memory itself", () => {
  const numbers = Float32Array.of(1, 2, 3);
  const seen = new Float32Array(memoryAt(addressOf(numbers), 12));
  numbers[1] = 7;
  expect(seen).toEqual(Float32Array.of(1, 7, 3));
  const Triple = defineStruct("triple", 12, { x: f32(0), y: f32(4), z: f32(8) });
  const record = recordAt(Triple, addressOf(numbers));
  record.set("z", 9);
  expect([record.get("x"), numbers[2]]).toEqual([1, 9]);
});
