/**
 * librknnrt as a file: where it is, for which machine, its version, what it exports and what it
 * needs of the system. It is read, not loaded; `loading.ts` does that on the live machine.
 */

import { OPTIONAL_SYMBOLS, REQUIRED_SYMBOLS } from "../../ffi/rknn_api.ts";
import { LIBRARY_DIRECTORIES, LIBRARY_NAME } from "../../ffi/rknn_library.ts";
import { FormatError } from "../base/errors.ts";
import { shellWord } from "../base/text.ts";
import { type ElfLibrary, parseElf } from "../formats/elf.ts";
import { type Machine, MISSING, type Reading, valueOf, whyUnknown } from "./machine.ts";
import { parseRelease, type Release } from "./release.ts";
import { fails, notChecked, ok, type Row, type Subject, warning } from "./row.ts";

/** Before the version in the library's own strings: `librknnrt version: 1.5.2 (c6b7b351a@…)`. */
const VERSION_MARK = "librknnrt version: ";
/** Where a loader finds the system's libraries, on Debian, Ubuntu and others. */
const SYSTEM_DIRECTORIES = [
  "/lib/aarch64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/lib64",
  "/usr/lib64",
  "/lib",
  "/usr/lib",
] as const;

export interface FoundLibrary {
  readonly path: string;
  readonly version: Release | undefined;
  /** The file's facts, why it is no library, or why it is not known what it is. */
  readonly content: ElfLibrary | { readonly problem: string } | { readonly unknown: string };
}

/** The libraries in the order in which they are looked for; the first is the one that is used. */
export function findLibraries(machine: Machine, named: string | undefined): FoundLibrary[] {
  const places = LIBRARY_DIRECTORIES.map((directory) => `${directory}/${LIBRARY_NAME}`);
  return [...(named === undefined ? [] : [named]), ...places].flatMap((path) => {
    const reading = machine.bytes(path);
    if ("value" in reading) return [describeLibrary(path, reading.value)];
    if (reading.missing === "absent" && path !== named) return [];
    const unknown = whyUnknown(reading);
    const content = unknown === undefined ? { problem: MISSING.absent } : { unknown };
    return [{ path, version: undefined, content }];
  });
}

function describeLibrary(path: string, bytes: Uint8Array): FoundLibrary {
  const version = parseRelease(readVersionText(bytes));
  try {
    return { path, version, content: parseElf(bytes) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { path, version, content: { problem: error.message } };
  }
}

/** `librknnrt version: 1.5.2 (c6b7b351a@2023-08-23T15:28:22)`, as it stands in the file. */
export function readVersionText(bytes: Uint8Array): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const at = buffer.indexOf(VERSION_MARK);
  if (at < 0) return undefined;
  const text = buffer.toString("latin1", at, at + 120);
  return text.split(/[\0\n]/)[0];
}

export function checkLibrary({ machine, libraries }: Subject): Row[] {
  const [library, ...others] = libraries;
  if (library === undefined) {
    return [
      fails(
        "library",
        `no ${LIBRARY_NAME} in ${LIBRARY_DIRECTORIES.join(", ")}`,
        `Rockchip's ${LIBRARY_NAME} for aarch64`,
        "lite3rl doctor --fix prints how to install it",
        "library",
      ),
      ...["symbols", "C libraries"].map((check) => notChecked(check, "there is no library")),
    ];
  }
  const row = checkFile(library, others);
  const { content } = library;
  if (!("symbols" in content) || row.state === "fails") {
    const why =
      "unknown" in content
        ? "the library cannot be read"
        : "problem" in content && content.problem === MISSING.absent
          ? "there is no library"
          : "it is none for the board";
    const rest = ["symbols", "C libraries"].map((check) => notChecked(check, why));
    return [row, ...rest];
  }
  return [row, checkSymbols(content), checkNeeds(machine, content)];
}

function checkFile(library: FoundLibrary, others: readonly FoundLibrary[]): Row {
  const { path, version, content } = library;
  const needed = `Rockchip's ${LIBRARY_NAME} for aarch64`;
  const mend = "lite3rl doctor --fix prints how to install it";
  const found = `${path}, ${version === undefined ? "of unknown version" : version.text}`;
  if ("unknown" in content) return notChecked("library", `${path}: ${content.unknown}`);
  if ("problem" in content) {
    const problem = `${path}: ${content.problem}`;
    return fails("library", problem, needed, mend, "library");
  }
  if (content.machine !== "aarch64") {
    return fails("library", `${found}, for ${content.machine}`, needed, mend, "library");
  }
  if (version === undefined) {
    return warning("library", found, `a ${LIBRARY_NAME} that says its version`, mend, "library");
  }
  const different = others.filter((other) => other.version?.text !== version.text);
  if (different.length === 0) return ok("library", found);
  const texts = different.map((other) => `${other.path} ${other.version?.text ?? "unknown"}`);
  return warning(
    "library",
    `${found}; also ${texts.join(", ")}`,
    "one library, lest another program loads the other",
    setAside([library, ...different]),
  );
}

/** The command that leaves the newest alone. */
function setAside(libraries: readonly FoundLibrary[]): string {
  const [, ...older] = libraries.toSorted((a, b) =>
    a.version !== undefined && b.version?.isAtLeast(a.version.text) !== true ? -1 : 1,
  );
  const moves = older.map(
    ({ path }) => `sudo mv ${shellWord(path)} ${shellWord(`${path}.before`)}`,
  );
  return [...moves, "sudo ldconfig"].join(" && ");
}

function checkSymbols({ symbols }: ElfLibrary): Row {
  const lacks = (names: readonly string[]): string[] =>
    names.filter((name) => !symbols.includes(name));
  const required = Object.keys(REQUIRED_SYMBOLS);
  const missing = lacks(required);
  if (missing.length > 0) {
    return fails(
      "symbols",
      `it lacks ${missing.join(", ")}`,
      `the ${required.length} functions that are called`,
      "install a newer librknnrt: lite3rl doctor --fix prints how",
      "library",
    );
  }
  const optional = lacks(Object.keys(OPTIONAL_SYMBOLS));
  const without = optional.length === 0 ? "" : `; without the optional ${optional.join(", ")}`;
  return ok("symbols", `all ${required.length} that are called${without}`);
}

/**
 * Every version that the library asks of another is held against what that one defines. One that
 * is in none of the usual directories may still be where /etc/ld.so.conf points.
 */
function checkNeeds(machine: Machine, { needed, versionsNeeded }: ElfLibrary): Row {
  const check = "C libraries";
  const systems = needed.map((file) => ({ file, system: findSystemLibrary(machine, file) }));
  const mend = "sudo apt-get install libc6 libstdc++6, or install a librknnrt for this system";
  const lacking = systems.flatMap(({ file, system }) =>
    versionsNeeded
      .filter((wanted) => wanted.file === file)
      .filter(({ version }) => valueOf(system)?.includes(version) === false)
      .map(({ version }) => `${version} of ${file}`),
  );
  if (lacking.length > 0) {
    const found = `it needs ${lacking.join(", ")}, which this system's does not have`;
    return fails(check, found, "a system as new as the library: Ubuntu 20.04 or 22.04", mend);
  }
  const absent = systems.filter(({ system }) => isAbsent(system)).map(({ file }) => file);
  if (absent.length > 0) {
    const found = `it needs ${absent.join(", ")}, in none of the usual directories`;
    return warning(check, found, `them in ${SYSTEM_DIRECTORIES[0]}`, mend);
  }
  const unread = systems.flatMap(({ file, system }) => {
    const unknown = whyUnknown(system);
    return unknown === undefined ? [] : [`${file}: ${unknown}`];
  });
  if (unread.length > 0) return notChecked(check, unread.join(", "));
  const newest = newestVersions(systems.flatMap(({ system }) => valueOf(system) ?? []));
  return ok(check, `${newest.join(", ")}: all that it needs`);
}

const isAbsent = (reading: Reading<unknown>): boolean =>
  "missing" in reading && reading.missing === "absent";

/** The versions that a library of the system defines, for the machine of the board. */
function findSystemLibrary(machine: Machine, file: string): Reading<readonly string[]> {
  for (const directory of SYSTEM_DIRECTORIES) {
    const reading = machine.bytes(`${directory}/${file}`);
    if ("missing" in reading) {
      if (reading.missing === "absent") continue;
      return reading;
    }
    try {
      const library = parseElf(reading.value);
      if (library.machine === "aarch64") return { value: library.versionsDefined };
    } catch (error) {
      if (!(error instanceof FormatError)) throw error;
    }
  }
  return { missing: "absent" };
}

/** The last of glibc's and of libstdc++'s versions, by which people know them. */
function newestVersions(versions: readonly string[]): string[] {
  return ["GLIBC", "GLIBCXX"].flatMap((family) => {
    const own = versions.filter((version) => new RegExp(`^${family}_\\d[\\d.]*$`).test(version));
    const last = own.sort((a, b) => a.localeCompare(b, "en", { numeric: true })).at(-1);
    return last === undefined ? [] : [last.replace("_", " ")];
  });
}
