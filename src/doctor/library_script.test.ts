import { describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { encodeElf } from "../formats/elf_skeleton.ts";
import { renderLibraryStep, VENDOR_LIBRARY } from "./library_script.ts";

const directory = temporaryDirectory();

/** A library with a table of one section at its end, as linkers write it. */
function libraryOf(version: string, machine = "aarch64"): Uint8Array {
  const tables = { machine, needed: [], symbols: [], versionsNeeded: [], versionsDefined: [] };
  const remark = version === "" ? "" : `librknnrt version: ${version} (x)`;
  const bytes = Buffer.concat([encodeElf(tables, remark), Buffer.alloc(64)]);
  bytes.writeBigUInt64LE(BigInt(bytes.length - 64), 40);
  bytes.writeUInt16LE(64, 58);
  bytes.writeUInt16LE(1, 60);
  return bytes;
}

/** A system with one directory of libraries, in which steps are run. */
class Board {
  readonly #root = mkdtempSync(join(directory, "board-"));
  readonly lib = join(this.#root, "lib");

  constructor(files: Readonly<Record<string, Uint8Array>> = {}) {
    mkdirSync(this.lib);
    for (const [name, bytes] of Object.entries(files)) this.write(name, bytes);
  }

  write(name: string, bytes: Uint8Array): string {
    const path = join(this.lib, name);
    writeFileSync(path, bytes);
    return path;
  }

  /** Runs a step as the script would; what would leave the directory is a function here. */
  run(step: string, { own = "", tools = "curl() { echo download; return 1; }" } = {}) {
    const script = [
      "set -euo pipefail",
      "ldconfig() { :; }",
      'install() { cp "${@: -2}"; }',
      tools,
      step
        .replaceAll("/usr/lib/aarch64-linux-gnu/", `${this.#root}/other/`)
        .replaceAll("/usr/local/lib/", `${this.#root}/local/`)
        .replaceAll("/usr/lib/", `${this.lib}/`),
    ].join("\n");
    const { exitCode, stdout, stderr } = Bun.spawnSync(["bash", "-s"], {
      stdin: Buffer.from(script),
      env: { PATH: process.env.PATH ?? "", LIBRKNNRT: own },
    });
    const said = `${stdout}${stderr}`.replaceAll(`${this.#root}/`, "").trimEnd().split("\n");
    return { exitCode, said, files: readdirSync(this.lib).sort() };
  }

  versionOf(name: string): string | undefined {
    const path = join(this.lib, name);
    if (!existsSync(path)) return undefined;
    return /version: ([\d.]+)/.exec(readFileSync(path, "latin1"))?.[1];
  }
}

const NAME = "librknnrt.so";
const [published, newer] = [true, false].map(renderLibraryStep) as [string, string];

describe("renderLibraryStep() has bash", () => {
  test("download nothing where what is there is as new as the vendor's", () => {
    for (const version of [VENDOR_LIBRARY.version, "2.4.0", "2.10.0"]) {
      const board = new Board({ [NAME]: libraryOf(version) });
      expect(board.run(published)).toEqual({
        exitCode: 0,
        said: [
          `library: librknnrt ${version} is there, and this script has ` +
            `${VENDOR_LIBRARY.version}: nothing is downloaded`,
        ],
        files: [NAME],
      });
    }
  });

  test("download where what is there is older, broken or for another machine", () => {
    const whole = libraryOf("2.4.0");
    for (const bytes of [libraryOf("1.5.2"), whole.subarray(0, -1), libraryOf("2.4.0", "x86_64")]) {
      const { exitCode, said, files } = new Board({ [NAME]: bytes }).run(published);
      expect({ exitCode, said, files }).toEqual({
        exitCode: 1,
        said: [
          "download",
          `library: cannot download librknnrt ${VENDOR_LIBRARY.version}. Get it elsewhere, then:`,
          "  sudo LIBRKNNRT=/path/to/librknnrt.so bash bash",
        ],
        files: [NAME],
      });
    }
  });

  test("refuse a download that is another file", () => {
    const tools = 'curl() { echo "<html>" > "${@: -2:1}"; }';
    expect(new Board().run(published, { tools })).toEqual({
      exitCode: 1,
      said: [`library: the download is not librknnrt ${VENDOR_LIBRARY.version}`],
      files: [],
    });
  });

  test("say what is missing where nothing can download", () => {
    const tools =
      'command() { case "$2" in curl | wget | python3) return 1 ;; *) builtin command "$@" ;; esac; }';
    const { exitCode, said } = new Board().run(published, { tools });
    expect([exitCode, said[0]]).toEqual([
      1,
      "library: there is no curl, wget or python3 to download it with",
    ]);
  });

  test("change nothing where a newer one is needed, and say where it comes from", () => {
    const board = new Board({ [NAME]: libraryOf("2.4.0") });
    expect(board.run(newer)).toEqual({
      exitCode: 0,
      said: [
        "library: one newer than 2.4.0 is needed, which is not in this script. Get it from",
        `  ${VENDOR_LIBRARY.place}`,
        "and run: sudo LIBRKNNRT=/path/to/librknnrt.so bash bash",
      ],
      files: [NAME],
    });
  });

  test("install a file of the user's and keep every one that was there", () => {
    const board = new Board({ [NAME]: libraryOf("1.5.2") });
    const keep = ["2.3.2", "2.4.0", "2.4.0", "2.5.0"].map((version) => {
      const own = board.write("own", libraryOf(version));
      return board.run(newer, { own }).exitCode;
    });
    expect([
      keep,
      [NAME, `${NAME}.before`, `${NAME}.before.2`, `${NAME}.before.3`, `${NAME}.before.4`].map(
        (name) => board.versionOf(name),
      ),
    ]).toEqual([
      [0, 0, 0, 0],
      ["2.5.0", "1.5.2", "2.3.2", "2.4.0", undefined],
    ]);
  });

  test("refuse a file of the user's that is no library for the board", () => {
    const whole = libraryOf("2.5.0");
    const cases: readonly (readonly [Uint8Array, string])[] = [
      [Buffer.from("librknnrt version: 2.5.0\n"), "it is no library (ELF)"],
      [new Uint8Array(0), "it is no library (ELF)"],
      [libraryOf("2.5.0", "arm"), "it is not for 64-bit ARM (aarch64)"],
      [libraryOf("2.5.0", "x86_64"), "it is not for 64-bit ARM (aarch64)"],
      [whole.subarray(0, 40), "it is cut off"],
      [whole.subarray(0, -1), "it is cut off"],
      [libraryOf(""), "it is not librknnrt"],
    ];
    for (const [bytes, fault] of cases) {
      const board = new Board({ [NAME]: libraryOf("1.5.2") });
      const own = board.write("own", bytes);
      expect(board.run(published, { own })).toEqual({
        exitCode: 1,
        said: [`library: cannot install lib/own: ${fault}`],
        files: [NAME, "own"],
      });
    }
    expect(new Board().run(published, { own: "/nothing/there" }).said).toEqual([
      "library: cannot install /nothing/there: there is no such file",
    ]);
  });
});
