import { expect, test } from "bun:test";
import { openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { readFile } from "../base/files.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { keepFiles, receiveFiles } from "./kept_files.ts";

const directory = temporaryDirectory();
/** Another process's descriptor of the same file. */
const copyOf = (fd: number): number => openSync(`/proc/self/fd/${fd}`, "r");
const path = (name: string): string => join(directory, name);

test("keepFiles() has each file as it was, under its name, for who gets the descriptors", () => {
  const large = crypto.getRandomValues(new Uint8Array(65_536));
  const bytes = Buffer.concat(Array.from({ length: 40 }, () => large));
  writeFileSync(path("large"), bytes);
  writeFileSync(path("empty"), "");
  using kept = keepFiles([path("large"), path("empty"), path("large")]);
  expect(kept.names).toEqual([path("large"), path("empty")]);
  writeFileSync(path("large"), "overwritten in place");
  rmSync(path("empty"));
  // As two engines have them, one after the other and beside each other.
  using first = receiveFiles(kept.names, kept.fds.map(copyOf));
  using second = receiveFiles(kept.names, kept.fds.map(copyOf));
  for (const files of [first, second, first]) {
    expect(bytes.equals(readFile(path("large"), bytes.length, files))).toBe(true);
    expect(readFile(path("empty"), 0, files)).toEqual(new Uint8Array());
    expect([files.has(path("large")), files.has(path("other"))]).toEqual([true, false]);
  }
});

test("keepFiles() keeps none where one is missing", async () => {
  writeFileSync(path("there"), "here");
  const missing = path("missing");
  expect(await refusalOf(() => keepFiles([path("there"), missing]))).toEqual({
    code: "NOT_FOUND",
    message: `Cannot read "${missing}": there is no such file, need a file`,
  });
});

test("receiveFiles() is the disk where there are no copies", () => {
  writeFileSync(path("disk"), "disk");
  using files = receiveFiles(undefined, []);
  expect([files.has(path("disk")), readFile(path("disk"), 9, files).length]).toEqual([true, 4]);
});
