import { expect, test } from "bun:test";
import { contentKind } from "./content_kind.ts";

test("contentKind() knows files by their magic, and nothing else", () => {
  const starts = ["RKNN\0\0\0\0", "CYPTRKNN", "\x93NUMPY\x01\0", "PK\x03\x04", "\x08\x08", ""];
  expect(starts.map((start) => contentKind(Buffer.from(start, "latin1")))).toEqual([
    "rknn",
    "rknn",
    "npy",
    "zip",
    undefined,
    undefined,
  ]);
});
