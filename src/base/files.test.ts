import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./directory_fixture.ts";
import { quote } from "./errors.ts";
import {
  checkWritable,
  makeTemporaryDirectory,
  memorySource,
  openFile,
  readFile,
  sha256,
  sha256Source,
  writeDescribedFile,
  writeFileAtomic,
} from "./files.ts";
import { refusalOf } from "./refusal_fixture.ts";

const directory = temporaryDirectory();
/** FIPS 180-2, appendix B.1. */
const SHA256_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

function place(name: string, content?: string | Uint8Array): string {
  const path = join(directory, name);
  if (content !== undefined) writeFileSync(path, content);
  return path;
}

describe("writeFileAtomic()", () => {
  test("writes text and bytes, makes directories and leaves nothing beside the file", () => {
    const text = join(directory, "made", "deeper", "text");
    writeFileAtomic(text, "grüße");
    writeFileAtomic(join(directory, "made", "bytes"), Uint8Array.of(0, 255, 7));
    expect([
      readFileSync(text, "utf8"),
      [...readFileSync(join(directory, "made", "bytes"))],
      readdirSync(join(directory, "made")).sort(),
      readdirSync(join(directory, "made", "deeper")),
    ]).toEqual(["grüße", [0, 255, 7], ["bytes", "deeper"], ["text"]]);
  });

  test("replaces a file while a reader keeps the old content", () => {
    const path = place("replaced", "old content");
    using before = openFile(path);
    writeFileAtomic(path, "new");
    expect([
      Buffer.from(before.read(0, before.size)).toString(),
      readFileSync(path, "utf8"),
    ]).toEqual(["old content", "new"]);
  });

  test("writes an empty file", () => {
    const path = join(directory, "empty");
    writeFileAtomic(path, "");
    expect(readFileSync(path)).toHaveLength(0);
  });

  const inFile = place("a_file", "not a directory");
  mkdirSync(place("a_directory"));
  const refused = [
    ["a directory", place("a_directory"), /something that is not a file has that name/],
    ["a device", "/dev/null", /something that is not a file has that name/],
    ["a path through a file", join(inFile, "x"), /there is a file in its place/],
    ["a name that is too long", place("x".repeat(300)), /ENAMETOOLONG/],
    [
      "a name that only a directory can have",
      `${place("new")}/`,
      /only a directory can have that name/,
    ],
    ["a name with a zero byte", place("a\0b"), /null bytes/],
  ] as const;
  for (const [what, path, reason] of refused) {
    test(`refuses ${what} and leaves nothing behind`, async () => {
      const before = readdirSync(directory).sort();
      const { code, message } = await refusalOf(() => writeFileAtomic(path, "x"));
      expect([code, readdirSync(directory).sort()]).toEqual(["NATIVE", before]);
      expect(message).toMatch(reason);
      expect(message).toStartWith(`Cannot write ${quote(path)}: `);
      expect(message).toEndWith("; name a place that can be written with --output");
    });
  }
});

describe("openFile()", () => {
  test("reads exactly the bytes asked for, again and in any order", () => {
    using source = openFile(place("letters", "abcdef"));
    const read = (offset: number, length: number) =>
      Buffer.from(source.read(offset, length)).toString();
    expect([source.size, read(4, 2), read(0, 6), read(1, 3), read(6, 0)]).toEqual([
      6,
      "ef",
      "abcdef",
      "bcd",
      "",
    ]);
  });

  test("refuses a range outside of the file", () => {
    using source = openFile(place("letters", "abcdef"));
    for (const [offset, length] of [
      [4, 3],
      [-1, 2],
      [0, -1],
      [7, 0],
    ] as const) {
      expect(() => source.read(offset, length)).toThrow(RangeError);
    }
  });

  test("says when the file became shorter", () => {
    const path = place("shrinks", "abcdef");
    using source = openFile(path);
    writeFileSync(path, "ab");
    expect(() => source.read(0, 6)).toThrow(`"${path}" became shorter while it was read`);
  });

  test("names what it cannot open", async () => {
    const dangling = place("dangling");
    symlinkSync(place("nowhere"), dangling);
    const found = async (path: string) => {
      const { code, message } = await refusalOf(() => openFile(path));
      return [code, message.replace(`Cannot read ${quote(path)}: `, "")];
    };
    expect([
      await found(place("absent")),
      await found(directory),
      await found(dangling),
      await found("/dev/null"),
    ]).toEqual([
      ["NOT_FOUND", "there is no such file, need a file"],
      ["NOT_FOUND", "it is a directory, need a file"],
      ["NOT_FOUND", "there is no such file, need a file"],
      ["NOT_FOUND", "it is not a regular file, need a file"],
    ]);
  });
});

test("memorySource() copies, so that a reader cannot change what it reads from", () => {
  const bytes = Uint8Array.of(1, 2, 3);
  using source = memorySource(bytes);
  source.read(0, 3).fill(9);
  expect([source.size, bytes]).toEqual([3, Uint8Array.of(1, 2, 3)]);
  expect(() => source.read(2, 2)).toThrow(new RangeError("bytes 2..4 are outside of 3"));
});

test("readFile() takes a file of just the limit and refuses one byte more", async () => {
  const path = place("four", "abcd");
  expect(Buffer.from(readFile(path, 4)).toString()).toBe("abcd");
  expect(await refusalOf(() => readFile(path, 3))).toEqual({
    code: "TOO_LARGE",
    message: `Cannot read "${path}": it has 4 bytes, at most 3 are taken`,
  });
});

describe("sha256()", () => {
  test("gives the standard's digest", () => {
    expect(sha256(Buffer.from("abc"))).toBe(SHA256_ABC);
  });

  test("is what sha256Source() gives, in one piece or several", () => {
    const long = new Uint8Array((2 << 20) + 5).map((_, i) => i % 251);
    expect([
      sha256Source(memorySource(Buffer.from("abc"))),
      sha256Source(memorySource(long)),
    ]).toEqual([SHA256_ABC, sha256(long)]);
  });
});

describe("writeDescribedFile()", () => {
  const [file, words] = [place("pair.bin"), place("pair.json")];
  const both = () => [file, words].map((path) => readFileSync(path, "utf8"));
  const write = (content: string, description = words) =>
    writeDescribedFile(file, Buffer.from(content), { path: description, text: `of ${content}` });

  test("replaces a file and what describes it", () => {
    write("old");
    expect(both()).toEqual(["old", "of old"]);
    write("new");
    expect(both()).toEqual(["new", "of new"]);
  });

  test("changes nothing when one of them cannot be written", async () => {
    write("kept");
    const folder = place("folder.json");
    mkdirSync(folder);
    expect((await refusalOf(() => write("lost", folder))).code).toBe("NATIVE");
    expect(both()).toEqual(["kept", "of kept"]);
    expect(readdirSync(directory).filter((name) => name.endsWith(".tmp"))).toEqual([]);
  });

  test("never leaves a new file without its description, wherever it is killed", async () => {
    const home = join(directory, "killed");
    mkdirSync(home);
    const path = join(home, "pair.bin");
    const found: unknown[] = [];
    for (const rename of [0, 1, 2]) {
      writeDescribedFile(path, Buffer.from("old"), { path: `${path}.json`, text: "of old" });
      const script = join(import.meta.dir, "./publish_killed_fixture.ts");
      const child = Bun.spawn([process.execPath, script, `${rename}`, path]);
      await child.exited;
      const pair = [path, `${path}.json`].map((one) => readFileSync(one, "utf8"));
      found.push([child.signalCode, ...pair, readdirSync(home).length]);
      writeFileAtomic(path, "swept");
      writeFileAtomic(`${path}.json`, "swept");
      expect(readdirSync(home).sort()).toEqual(["pair.bin", "pair.bin.json"]);
    }
    expect(found).toEqual([
      ["SIGKILL", "old", "of old", 4],
      ["SIGKILL", "old", "of new", 3],
      [null, "new", "of new", 2],
    ]);
  });
});

test("checkWritable() leaves nothing where it tried, and names the flag", async () => {
  const folder = join(directory, "tried");
  mkdirSync(folder);
  const taken = join(folder, "taken");
  writeFileSync(taken, "mine");
  for (const path of [taken, join(folder, "new"), join(folder, "made/later")]) checkWritable(path);
  expect([readdirSync(folder), readFileSync(taken, "utf8")]).toEqual([["taken"], "mine"]);
  expect(await refusalOf(() => checkWritable("/proc/x.html", "--report"))).toEqual({
    code: "NATIVE",
    message:
      'Cannot write "/proc/x.html": there is no such directory; name a place that can be ' +
      "written with --report",
  });
});

test("makeTemporaryDirectory() names the place and TMPDIR where it cannot", async () => {
  const message = (place: string, found: string) =>
    `Cannot make a directory in "${place}": ${found}; ` +
    "name a directory that can be written with TMPDIR";
  const [absent, file] = [place("absent"), place("letters", "x")];
  expect([
    await refusalOf(() => makeTemporaryDirectory(absent, "x-")),
    await refusalOf(() => makeTemporaryDirectory(file, "x-")),
  ]).toEqual([
    { code: "NATIVE", message: message(absent, "there is no such directory") },
    { code: "NATIVE", message: message(file, "there is a file in its place") },
  ]);
});
