import { expect, test } from "bun:test";
import { stripWasm } from "./strip_wasm.ts";

const HEADER = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
/** `(func (export "f") (result i32) i32.const 7)` */
const TYPE = [1, 5, 1, 0x60, 0, 1, 0x7f];
const FUNCTION = [3, 2, 1, 0];
const EXPORT = [7, 5, 1, 1, 0x66, 0, 0];
const CODE = [10, 6, 1, 4, 0, 0x41, 7, 0x0b];
const CUSTOM = [0, 5, 4, 0x6e, 0x61, 0x6d, 0x65];

test("stripWasm() drops custom sections wherever they are and keeps the program", () => {
  const bytes = Uint8Array.from(
    [HEADER, CUSTOM, TYPE, FUNCTION, CUSTOM, EXPORT, CODE, CUSTOM].flat(),
  );
  const stripped = stripWasm(bytes);
  expect([...stripped]).toEqual([HEADER, TYPE, FUNCTION, EXPORT, CODE].flat());
  const instance = new WebAssembly.Instance(new WebAssembly.Module(stripped));
  expect((instance.exports.f as () => number)()).toBe(7);
});

test("stripWasm() refuses a section that ends after the module", () => {
  expect(() => stripWasm(Uint8Array.from([...HEADER, 1, 9, 0]))).toThrow("ends after the module");
  expect(() => stripWasm(Uint8Array.from([...HEADER, 1, 0xff]))).toThrow("not LEB128");
  expect(() => stripWasm(new Uint8Array(8))).toThrow("not a WebAssembly module");
});
