import { expect, test } from "bun:test";
import * as fc from "fast-check";
import { memorySource } from "../base/files.ts";
import { countingSource, failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { isZip, openZip, writeZip } from "./zip.ts";
import { buildZip, type Part, u16, u32, u64 } from "./zip_fixture.ts";

const HELLO = Buffer.from("hello");

async function readAll(bytes: Uint8Array): Promise<Record<string, string>> {
  const zip = await openZip(memorySource(bytes));
  const names = [...zip.entries.keys()];
  return Object.fromEntries(
    names.map((name) => [name, Buffer.from(zip.read(name, 1e6)).toString()]),
  );
}

function refusal(parts: readonly Part[], options?: { entryCount?: number }) {
  return failureOf(() => readAll(buildZip(parts, options)));
}

test("openZip() reads stored, deflated, described and zip64 entries", async () => {
  const bytes = buildZip([
    { name: "a/stored", data: HELLO },
    { name: "deflated", data: Buffer.from("x".repeat(900)), method: 8 },
    { name: "described", data: HELLO, descriptor: true },
    { name: "zip64", data: HELLO, zip64: true },
    { name: "nothing", data: Buffer.alloc(0) },
  ]);
  expect(await readAll(bytes)).toEqual({
    "a/stored": "hello",
    deflated: "x".repeat(900),
    described: "hello",
    zip64: "hello",
    nothing: "",
  });
});

test("openZip() says where an entry's data is", async () => {
  const zip = await openZip(memorySource(buildZip([{ name: "abc", data: HELLO }])));
  expect([...zip.entries.values()]).toEqual([
    { name: "abc", offset: 33, compressedBytes: 5, bytes: 5, stored: true, crc32: 0x3610a686 },
  ]);
});

test("openZip() reads the directory only; read() reads one entry", async () => {
  const source = countingSource(writeZip({ big: new Uint8Array(500_000), small: HELLO }));
  const zip = await openZip(source);
  const middle = 250_000;
  const covers = source.reads.filter(
    ({ offset, length }) => offset <= middle && offset + length > middle,
  );
  expect(covers).toEqual([]);
  source.reads.length = 0;
  expect(zip.read("small", 5)).toEqual(Uint8Array.from(HELLO));
  expect(source.reads).toEqual([{ offset: zip.entries.get("small")?.offset ?? -1, length: 5 }]);
});

test("writeZip() gives the same bytes for the same files, openZip() the files back", async () => {
  const files = { "a.npy": HELLO, "b.npy": Buffer.alloc(0) };
  expect(writeZip(files)).toEqual(writeZip({ ...files }));
  expect(await readAll(writeZip(files))).toEqual({ "a.npy": "hello", "b.npy": "" });
});

test("writeZip() round-trips any content", async () => {
  const property = fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (data) => {
    const zip = await openZip(memorySource(writeZip({ data })));
    expect(zip.read("data", 300)).toEqual(Uint8Array.from(data));
  });
  await fc.assert(property, { seed: 1, numRuns: 50 });
});

test("isZip() is true for archives only", () => {
  const kinds = [writeZip({ a: HELLO }), buildZip([]), HELLO, Buffer.from("PK"), Buffer.alloc(0)];
  expect(kinds.map((bytes) => isZip(memorySource(bytes)))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

test("openZip() says what a file that is no archive begins with", async () => {
  const lfs = Buffer.from("version https://git-lfs.github.com/spec/v1\n");
  const failures = [Buffer.alloc(0), lfs, Buffer.from("80028a0a6c", "hex")].map((bytes) =>
    failureOf(() => openZip(memorySource(bytes))),
  );
  expect((await Promise.all(failures)).map(({ message }) => message)).toEqual([
    "it is empty, need a zip archive",
    "it is a pointer of Git LFS in the file's place (git lfs pull gets the file), " +
      "need a zip archive",
    "it begins with 80028a0a6c, need a zip archive",
  ]);
});

test("openZip() refuses an archive whose end is cut off", async () => {
  const bytes = writeZip({ a: HELLO });
  expect(await failureOf(() => openZip(memorySource(bytes.subarray(0, -1))))).toEqual({
    code: "MALFORMED",
    message:
      "zip directory, entry 0: End of central directory record signature not found. " +
      "Either not a zip file, or file is truncated",
  });
});

test("openZip() refuses a name that is there twice", async () => {
  const twice = [
    { name: "data.pkl", data: HELLO },
    { name: "data.pkl", data: HELLO },
  ];
  expect(await refusal(twice)).toEqual({
    code: "MALFORMED",
    message: 'entry "data.pkl" is there twice, at offset 81',
  });
});

test("openZip() refuses a bomb of entries that overlap", async () => {
  const data = Buffer.alloc(1000);
  const parts = [
    { name: "a", data },
    { name: "b", data, headerOffset: 0 },
  ];
  expect(await refusal(parts)).toEqual({
    code: "MALFORMED",
    message: 'entry "b" at offset 0 overlaps "a", which ends at 1031',
  });
});

test("openZip() refuses an encrypted entry", async () => {
  expect(await refusal([{ name: "a", data: HELLO, flags: 1, compressedBytes: 17 }])).toEqual({
    code: "UNSUPPORTED",
    message: 'entry "a" at offset 0 is encrypted, need it in the clear',
  });
});

test("openZip() refuses a compression method it does not know", async () => {
  expect(await refusal([{ name: "a", data: HELLO, method: 93 }])).toEqual({
    code: "UNSUPPORTED",
    message: 'entry "a" at offset 0 is compressed by method 93, need 0 (stored) or 8 (deflate)',
  });
});

test("openZip() refuses data outside of the file", async () => {
  const sizes = { bytes: 5000, compressedBytes: 5000 };
  expect(await refusal([{ name: "a", data: HELLO, ...sizes }])).toEqual({
    code: "MALFORMED",
    message: 'entry "a" at offset 0: file data overflows file bounds: 31 + 5000 > 105',
  });
});

test("openZip() refuses paths that leave the archive", async () => {
  const names = ["../etc/passwd", "/etc/passwd", "a\\b"];
  const failures = await Promise.all(names.map((name) => refusal([{ name, data: HELLO }])));
  expect(failures.map(({ message }) => message)).toEqual([
    "zip directory, entry 0: invalid relative path: ../etc/passwd",
    "zip directory, entry 0: absolute path: /etc/passwd",
    "zip directory, entry 0: invalid characters in fileName: a\\b",
  ]);
});

test("openZip() refuses more entries than the directory can hold", async () => {
  expect(await refusal([{ name: "a", data: HELLO }], { entryCount: 60_000 })).toEqual({
    code: "MALFORMED",
    message: "the zip directory claims 60000 entries in 105 bytes",
  });
});

test("openZip() refuses more entries than its limit", async () => {
  const bytes = buildZip([{ name: "a", data: HELLO }]);
  const end = bytes.length - 22;
  const zip64 = Buffer.from([
    ...u32(0x06064b50),
    ...u64(44),
    ...u16(45, 45),
    ...u32(0, 0),
    ...u64(1e6, 1e6, 47, 36),
    ...u32(0x07064b50, 0),
    ...u64(end),
    ...u32(1),
  ]);
  const hostile = Buffer.concat([bytes.subarray(0, end), zip64, bytes.subarray(end)]);
  expect(await failureOf(() => openZip(memorySource(hostile)))).toEqual({
    code: "TOO_LARGE",
    message: "the zip directory has 1000000 entries, at most 100000 are taken",
  });
});

test("openZip() refuses a size that deflate cannot reach", async () => {
  expect(await refusal([{ name: "a", data: HELLO, method: 8, bytes: 2 ** 31 }])).toEqual({
    code: "MALFORMED",
    message:
      'entry "a" at offset 0 claims 2147483648 bytes from 7, but deflate gives at most 1032 to 1',
  });
});

test("read() refuses a deflate bomb that says it is small", async () => {
  const bomb = { name: "a", data: Buffer.alloc(10_000_000), method: 8, bytes: 10 };
  expect(await refusal([bomb])).toEqual({
    code: "MALFORMED",
    message: 'entry "a" at offset 31 unpacks to more than 10 bytes',
  });
});

test("read() refuses a deflate stream that gives less than it says", async () => {
  expect(await refusal([{ name: "a", data: HELLO, method: 8, bytes: 6 }])).toEqual({
    code: "MALFORMED",
    message: 'entry "a" at offset 31 unpacks to 5 bytes, but the directory says 6',
  });
});

test("read() refuses a flipped bit in stored data", async () => {
  expect(await refusal([{ name: "a", data: HELLO, crc: 1 }])).toEqual({
    code: "MALFORMED",
    message: 'entry "a" at offset 31 has checksum 3610a686, but the directory says 00000001',
  });
});

test("read() refuses an entry over the caller's limit, and one that is not there", async () => {
  const zip = await openZip(memorySource(writeZip({ a: HELLO, b: HELLO })));
  expect(await failureOf(() => zip.read("a", 4))).toEqual({
    code: "TOO_LARGE",
    message: 'entry "a" at offset 31 has 5 bytes, at most 4 are taken',
  });
  expect(await failureOf(() => zip.read("c", 4))).toEqual({
    code: "MALFORMED",
    message: 'there is no entry "c", there are "a", "b"',
  });
});

test("openZip() gives entries or FormatError for any damaged archive", async () => {
  const parts = [
    { name: "stored", data: HELLO },
    { name: "deflated", data: Buffer.from("y".repeat(200)), method: 8, zip64: true },
  ];
  await fuzzDecoder(buildZip(parts), readAll, { cases: 1500 });
});
