import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { type ElfLibrary, parseElf } from "./elf.ts";
import { encodeElf } from "./elf_skeleton.ts";

const LIBRARY: ElfLibrary = {
  machine: "aarch64",
  needed: ["libm.so.6", "libc.so.6"],
  symbols: ["rknn_init", "rknn_run"],
  versionsNeeded: [
    { file: "libm.so.6", version: "GLIBC_2.17" },
    { file: "libc.so.6", version: "GLIBC_2.17" },
    { file: "libc.so.6", version: "GLIBC_2.34" },
  ],
  versionsDefined: ["LIBRKNN_1", "LIBRKNN_2"],
};

test("parseElf() gives back what encodeElf() wrote", () => {
  const word = fc.stringMatching(/^[a-zA-Z_][\w.]{0,8}$/);
  const words = fc.uniqueArray(word, { maxLength: 4 });
  const library = fc.record({
    machine: fc.constantFrom("aarch64", "x86_64"),
    needed: words,
    symbols: words,
    versionsDefined: words,
    versionsNeeded: fc
      .uniqueArray(fc.tuple(word, words), { maxLength: 3, selector: ([file]) => file })
      .map((files) =>
        files.flatMap(([file, versions]) => versions.map((version) => ({ file, version }))),
      ),
  });
  fc.assert(
    fc.property(library, (facts) => {
      expect(parseElf(encodeElf(facts, "remark"))).toEqual(facts);
    }),
    { seed: 1 },
  );
});

test("encodeElf() keeps the remark as a string in the bytes", () => {
  const bytes = Buffer.from(encodeElf(LIBRARY, "librknnrt version: 1.5.2"));
  expect(bytes.includes("librknnrt version: 1.5.2\0")).toBe(true);
});

describe("parseElf() refuses", () => {
  const whole = Buffer.from(encodeElf(LIBRARY));
  const changed = (at: number, ...values: number[]): Buffer => {
    const bytes = Buffer.from(whole);
    bytes.set(values, at);
    return bytes;
  };
  const cases: readonly (readonly [string, Uint8Array, string, string])[] = [
    ["an empty file", Buffer.alloc(0), "MALFORMED", "it begins with nothing, need an ELF file"],
    [
      "the pointer that a repository keeps in place of a large file",
      Buffer.from("version https://git-lfs.github.com/spec/v1\noid sha256:0\n"),
      "MALFORMED",
      'it begins with "version https://git-lfs.github.com/spec/", need an ELF file',
    ],
    [
      "a library for 32-bit ARM",
      changed(4, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 40),
      "UNSUPPORTED",
      "it is a 32-bit ELF file for arm, need a 64-bit little-endian one",
    ],
    [
      "a big-endian file",
      changed(5, 2),
      "UNSUPPORTED",
      "it is a big-endian ELF file for aarch64, need a 64-bit little-endian one",
    ],
    [
      "a file without a dynamic segment",
      changed(64 + 56, 4),
      "UNSUPPORTED",
      "it has no dynamic segment, need a shared library",
    ],
    [
      "a half download",
      whole.subarray(0, 200),
      "MALFORMED",
      "it is cut short at 200 bytes, need a whole ELF file",
    ],
  ];
  for (const [name, bytes, code, message] of cases) {
    test(name, async () => {
      expect(await failureOf(() => parseElf(bytes))).toEqual({ code: code as never, message });
    });
  }
});

test("parseElf() gives a value or a FormatError for damaged files", async () => {
  await fuzzDecoder(encodeElf(LIBRARY), parseElf, { cases: 2_000 });
});

/** The C library that this very process runs with. */
const LIBC = /\/\S*libc\.so\.6$/m.exec(readFileSync("/proc/self/maps", "utf8"))?.[0] ?? "";

test("parseElf() reads this system's libc", () => {
  const { machine, symbols, versionsDefined } = parseElf(readFileSync(LIBC));
  expect({
    machine,
    dlopen: symbols.includes("dlopen"),
    first: versionsDefined.find((version) => version.startsWith("GLIBC_2")),
  }).toEqual({
    machine: process.arch === "x64" ? "x86_64" : "aarch64",
    dlopen: true,
    first: process.arch === "x64" ? "GLIBC_2.2.5" : "GLIBC_2.17",
  });
});
