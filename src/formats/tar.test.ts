import { describe, expect, test } from "bun:test";
import { failureOf, fuzzDecoder } from "./decoder_fixture.ts";
import { encodeTar, parseTar } from "./tar.ts";

const bytes = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);
const FILES = new Map<string, Uint8Array<ArrayBuffer>>([
  ["report.json", bytes("{}\n")],
  ["empty.log", new Uint8Array()],
  ["run.mcap", new Uint8Array(1000).fill(7)],
]);

/** The archive with its first header changed, and the checksum made right again. */
function withHead(change: (head: Buffer) => void, files = FILES): Uint8Array {
  const archive = Buffer.from(encodeTar(files));
  const head = archive.subarray(0, 512);
  change(head);
  head.fill(" ", 148, 156);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return archive;
}

const named = (name: string) => (head: Buffer) => head.fill(0, 0, 100).write(name, 0);
const typed = (type: string) => (head: Buffer) => head.write(type, 156);

test("parseTar() gives back what encodeTar() was given, in its order", () => {
  const parsed = parseTar(encodeTar(FILES));
  expect([...parsed.keys()]).toEqual([...FILES.keys()]);
  expect(parsed).toEqual(new Map<string, Uint8Array>(FILES));
});

test("encodeTar() writes what other programs read", async () => {
  const files = await new Bun.Archive(encodeTar(FILES)).files();
  const found = await Promise.all(
    [...files].map(async ([name, file]) => [name, await file.bytes()] as const),
  );
  expect(new Map(found)).toEqual(FILES);
  const tar = Bun.spawn(["tar", "tvf", "-"], {
    stdin: new Blob([encodeTar(FILES)]),
    stdout: "pipe",
    env: { TZ: "UTC", PATH: process.env.PATH },
  });
  expect((await tar.stdout.text()).trimEnd().split("\n")).toEqual(
    [
      "-rw-r--r-- 0/0               3 1970-01-01 00:00 report.json",
      "-rw-r--r-- 0/0               0 1970-01-01 00:00 empty.log",
      "-rw-r--r-- 0/0            1000 1970-01-01 00:00 run.mcap",
    ].map((line) => expect.stringMatching(new RegExp(line.replaceAll(/ +/g, " +")))),
  );
});

describe("parseTar() refuses", () => {
  const CASES: readonly (readonly [string, Uint8Array, string])[] = [
    [
      "a name that leads out",
      withHead(named("../passwd")),
      '"../passwd" is no plain name of a file',
    ],
    [
      "an absolute name",
      withHead(named("/etc/passwd")),
      '"/etc/passwd" is no plain name of a file',
    ],
    ["a hidden name", withHead(named(".bashrc")), '".bashrc" is no plain name of a file'],
    ["a symbolic link", withHead(typed("2")), '"report.json" is a symbolic link, need a file'],
    ["a hard link", withHead(typed("1")), '"report.json" is a hard link, need a file'],
    ["a directory", withHead(typed("5")), '"report.json" is a directory, need a file'],
    [
      "a size beyond its end",
      withHead((head) => head.write("77777777777", 124)),
      '"report.json" has 3584 of 8589934591 bytes',
    ],
    [
      "a size that is no number",
      withHead((head) => head.write("zzzzzzzzzzz", 124)),
      '"report.json" has 0 of NaN bytes',
    ],
    [
      "an owner",
      withHead((head) => head.write("0000001", 108)),
      'the header of "report.json" is not as lite3rl writes it',
    ],
    [
      "a name twice",
      Buffer.concat([encodeTar(FILES).subarray(0, 1024), encodeTar(FILES)]),
      '"report.json" is in it twice',
    ],
    [
      "bytes behind its end",
      Buffer.concat([encodeTar(FILES), bytes("more")]),
      "it does not end with two empty blocks after 3 files",
    ],
    [
      "an end that is missing",
      encodeTar(FILES).subarray(0, -512),
      "it does not end with two empty blocks after 3 files",
    ],
    ["another format", Buffer.alloc(1024, "x"), "it is no tar of the ustar format"],
    ["nothing", new Uint8Array(), "it does not end with two empty blocks after 0 files"],
  ];
  for (const [what, archive, message] of CASES) {
    test(what, async () => {
      expect(await failureOf(() => parseTar(archive))).toEqual({ code: "MALFORMED", message });
    });
  }

  test("anything that encodeTar() would not write, or gives its files", async () => {
    await fuzzDecoder(encodeTar(FILES), (damaged) => {
      expect(encodeTar(parseTar(damaged))).toEqual(Uint8Array.from(damaged));
    });
  });
});
