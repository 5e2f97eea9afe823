import { expect, test } from "bun:test";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { isRknn, parseRknn } from "./rknn.ts";

const NO_QUANTISATION = { qnt_method: "", qnt_type: "", vx_type: "" };
const DOCUMENT = {
  version: "2.5.0",
  target_platform: ["rk3588"],
  input_num: 1,
  output_num: 1,
  norm_tensor: [
    { tensor_id: 0, url: "obs", size: [1, 45], dtype: NO_QUANTISATION },
    { tensor_id: 1, url: "action", size: [1, 12], dtype: { ...NO_QUANTISATION, vx_type: "int8" } },
  ],
  graph: [
    { left: "output", left_tensor_id: 0, right: "norm_tensor", right_tensor_id: 1 },
    { left: "input", left_tensor_id: 0, right: "norm_tensor", right_tensor_id: 0 },
  ],
};

interface Parts {
  readonly magic?: string;
  readonly version?: number;
  readonly payload?: string;
  readonly claimed?: bigint;
  readonly json?: string;
}

function writeRknn({
  magic = "RKNN\0\0\0\0",
  version = 6,
  payload = "\0\0\0\0RKNN payload",
  claimed,
  json = JSON.stringify(DOCUMENT),
}: Parts = {}): Uint8Array {
  const header = Buffer.alloc(64);
  header.write(magic, "latin1");
  header.writeBigUInt64LE(BigInt(version), 8);
  header.writeBigUInt64LE(claimed ?? BigInt(payload.length), 16);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(json)));
  return Buffer.concat([header, Buffer.from(payload, "latin1"), length, Buffer.from(json)]);
}

test("parseRknn() gives the document with its inputs and outputs in order", () => {
  const bytes = writeRknn();
  expect(isRknn(bytes)).toBe(true);
  expect(parseRknn(bytes)).toEqual({
    version: 6,
    payloadBytes: 16,
    document: DOCUMENT,
    inputs: [{ name: "obs", shape: [1, 45], dtype: "float16" }],
    outputs: [{ name: "action", shape: [1, 12], dtype: "int8" }],
  });
});

const json = (change: object): string => JSON.stringify({ ...DOCUMENT, ...change });

const REFUSED: readonly (readonly [string, Parts, string, string])[] = [
  [
    "encrypted",
    { magic: "CYPTRKNN" },
    "UNSUPPORTED",
    "it is an encrypted .rknn (CYPTRKNN), need one in the clear",
  ],
  [
    "another magic",
    { magic: "RKNNX\0\0\0" },
    "MALFORMED",
    "it begins with 524b4e4e580000000600000000000000, need a .rknn file",
  ],
  ["another version", { version: 7 }, "UNSUPPORTED", "version 7 at offset 8, need 6"],
  [
    "a payload longer than the file",
    { claimed: 2n ** 63n },
    "MALFORMED",
    "the payload needs 9223372036854776000 bytes from offset 64, but 481 are left",
  ],
  [
    "a payload of another kind",
    { payload: "\0\0\0\0TFL3" },
    "MALFORMED",
    'the payload at offset 64 has 8 bytes and the identifier "TFL3", need a FlatBuffer of "RKNN"',
  ],
  [
    "no JSON in the tail",
    { json: "{" },
    "MALFORMED",
    "the JSON at offset 88 is broken: JSON Parse error: Expected '}'",
  ],
  [
    "a document without its platform",
    { json: json({ target_platform: undefined }) },
    "MALFORMED",
    'the JSON at offset 88: target_platform is undefined, need "target_platform"',
  ],
  [
    "more inputs than the graph has",
    { json: json({ input_num: 2 }) },
    "MALFORMED",
    "the JSON has 2 as its input_num, but its graph names inputs [0]",
  ],
  [
    "an input that is not there",
    { json: json({ norm_tensor: [] }) },
    "MALFORMED",
    "the JSON's input 0 is tensor 0, which is not there",
  ],
];

test("parseRknn() says what stands in the file's place", async () => {
  const files = ["", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"];
  const failures = files.map((text) => failureOf(() => parseRknn(Buffer.from(text))));
  expect((await Promise.all(failures)).map(({ message }) => message)).toEqual([
    "it is empty, need a .rknn file",
    "it is a pointer of Git LFS in the file's place (git lfs pull gets the file), " +
      "need a .rknn file",
  ]);
});

test.each(REFUSED)("parseRknn() refuses %s", async (_name, parts, code, message) => {
  expect(await failureOf(() => parseRknn(writeRknn(parts)))).toEqual({ code, message } as never);
});

test("parseRknn() refuses a file that is cut off anywhere, or goes on", async () => {
  const bytes = writeRknn();
  for (let length = 0; length < bytes.length; length++) {
    await failureOf(() => parseRknn(bytes.subarray(0, length)));
  }
  await failureOf(() => parseRknn(Buffer.concat([bytes, Buffer.from("x")])));
});

test("parseRknn() gives a value or a FormatError for damaged files", () =>
  fuzzDecoder(writeRknn(), parseRknn));
