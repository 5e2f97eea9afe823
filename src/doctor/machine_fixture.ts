/**
 * For tests: machines described in `fixtures/doctor/*.yaml`, as captures, and what the doctor
 * says of them, held against `<machine>.txt` and `<machine>.json` there. `UPDATE_GOLDEN=1` writes
 * those two, and their rows of the manifest, instead.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { parse } from "yaml";
import { OPTIONAL_SYMBOLS, REQUIRED_SYMBOLS } from "../../ffi/rknn_api.ts";
import { sha256 } from "../base/files.ts";
import { encodeElf } from "../formats/elf_skeleton.ts";
import { encodeCapture } from "./capture.ts";
import { CAPTURE_FORMAT, type CaptureIndex, type PathRecord } from "./captured.ts";
import type { FileStat } from "./machine.ts";

const FIXTURES = join(import.meta.dir, "..", "..", "fixtures");
const DIRECTORY = join(FIXTURES, "doctor");

const versions = v.optional(v.array(v.string()), []);
const Library = v.strictObject({
  machine: v.optional(v.string(), "aarch64"),
  version: v.optional(v.string()),
  functions: v.optional(v.union([v.literal("all"), v.array(v.string())]), []),
  needs: v.optional(v.record(v.string(), v.array(v.string())), {}),
  defines: versions,
});

const table = <S extends v.GenericSchema>(value: S) =>
  v.optional(v.record(v.string(), v.nullable(value)), {});

/** A path's null takes it away from the machine that it is `like`. */
const Description = v.strictObject({
  like: v.optional(v.string()),
  user: v.optional(v.string()),
  model: v.optional(v.strictObject({ toolkit: v.string(), platform: v.string() })),
  /** Text, or `denied`. */
  files: table(v.string()),
  libraries: table(Library),
  access: table(v.pipe(v.string(), v.regex(/^\w+ [0-7]{4} \w+ \w+$/))),
});

type Description = v.InferOutput<typeof Description>;

/** A change to a machine: the same keys as in the YAML. */
export type Change = v.InferInput<typeof Description>;

export const MACHINES = [
  "healthy",
  "no_driver",
  "old_driver",
  "library_missing",
  "library_too_old",
  "node_without_permission",
  "wrong_soc",
  "powersave",
  "x86_ci",
] as const;

export type MachineName = (typeof MACHINES)[number];

function readDescription(name: string): Description {
  const own = v.parse(Description, parse(readFileSync(join(DIRECTORY, `${name}.yaml`), "utf8")));
  return own.like === undefined ? own : merge(readDescription(own.like), own);
}

function merge(base: Description, change: Description): Description {
  return {
    user: change.user ?? base.user,
    model: change.model ?? base.model,
    files: { ...base.files, ...change.files },
    libraries: { ...base.libraries, ...change.libraries },
    access: { ...base.access, ...change.access },
  };
}

export interface WrittenMachine {
  /** A tar for `--root`. */
  readonly capture: string;
  /** For `--model`. */
  readonly model: string;
}

/** Writes a machine of `fixtures/doctor`, changed or not, into `directory`. */
export async function writeMachine(
  directory: string,
  name: MachineName,
  change: Change = {},
): Promise<WrittenMachine> {
  const description = merge(readDescription(name), v.parse(Description, change));
  const capture = join(directory, "board.tar");
  const model = join(directory, "policy.rknn");
  writeFileSync(capture, await encodeMachine(description));
  const { toolkit = "2.3.2", platform = "rk3588" } = description.model ?? {};
  writeFileSync(model, writeModel(toolkit, platform));
  return { capture, model };
}

/** A capture that knows of every path: what is not described is absent. */
function encodeMachine(description: Description): Promise<Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const paths: Record<string, PathRecord> = {};
  const ids = numbersOf(description);
  const uid = (name: string): number => ids.users.get(name) ?? 0;
  const gid = (name: string): number => ids.groups.get(name) ?? 0;
  const account = { uid: uid(description.user ?? ""), gids: ids.gidsOf(description.user ?? "") };
  const add = (path: string, text = "file 0644 root root"): void => {
    const [kind = "", mode = "", owner = "", group = ""] = text.split(" ");
    const bits = Number.parseInt(mode, 8);
    const shift = uid(owner) === account.uid ? 6 : account.gids.includes(gid(group)) ? 3 : 0;
    const opens = ((bits >> shift) & 6) === 6;
    const stat = {
      kind: kind as FileStat["kind"],
      mode: bits,
      uid: uid(owner),
      gid: gid(group),
      opens,
    };
    const isDirectory = kind === "directory";
    paths[path] = { stat: { value: stat }, ...(isDirectory && { names: { value: [] } }) };
  };
  const present = <T>(rows: Record<string, T | null>): [string, T][] =>
    Object.entries(rows).filter((row): row is [string, T] => row[1] !== null);
  for (const [path, text] of present(description.files)) {
    add(path);
    if (text === "denied") paths[path] = { bytes: { missing: "denied" } };
    else files.set(path, Buffer.from(text));
  }
  for (const [path, library] of present(description.libraries)) {
    add(path);
    files.set(path, writeLibrary(library));
  }
  for (const path of files.keys()) paths[path] = { ...paths[path], bytes: { value: "file" } };
  for (const [path, text] of present(description.access)) add(path, text);
  addDirectories(paths, (path) => add(path, "directory 0755 root root"));
  const index: CaptureIndex = {
    format: CAPTURE_FORMAT,
    version: "0.0.0",
    ...(description.user !== undefined && { user: description.user }),
    isByUser: description.user !== undefined,
    unlisted: "absent",
    paths,
  };
  return encodeCapture(index, files);
}

/** Directories above everything, with their names. */
function addDirectories(paths: Record<string, PathRecord>, add: (path: string) => void): void {
  for (const path of Object.keys(paths)) {
    for (let child = path; child !== "/"; child = dirname(child)) {
      const parent = dirname(child);
      if (paths[parent] === undefined) add(parent);
      const names = paths[parent]?.names;
      if (names === undefined || "missing" in names || names.value.includes(basename(child)))
        continue;
      names.value.push(basename(child));
      names.value.sort();
    }
  }
}

function numbersOf({ files }: Description) {
  const rows = (path: string): string[][] =>
    (files[path] ?? "").split("\n").map((line) => line.split(":"));
  const users = new Map(rows("/etc/passwd").map(([name = "", , id]) => [name, Number(id)]));
  const groups = new Map(rows("/etc/group").map(([name = "", , id]) => [name, Number(id)]));
  const gidsOf = (user: string): number[] =>
    rows("/etc/group")
      .filter(([, , , members = ""]) => members.split(",").includes(user))
      .map(([, , id]) => Number(id));
  return { users, groups, gidsOf };
}

function writeLibrary(library: v.InferOutput<typeof Library>): Uint8Array {
  const { machine, version, functions, needs, defines } = library;
  const all = [...Object.keys(REQUIRED_SYMBOLS), ...Object.keys(OPTIONAL_SYMBOLS)];
  return encodeElf(
    {
      machine,
      needed: Object.keys(needs),
      symbols: functions === "all" ? all : functions,
      versionsNeeded: Object.entries(needs).flatMap(([file, wanted]) =>
        wanted.map((version) => ({ file, version })),
      ),
      versionsDefined: defines,
    },
    version === undefined ? "" : `librknnrt version: ${version}`,
  );
}

/** A .rknn with a payload of nothing: 45 observations in, 12 actions out. */
function writeModel(toolkit: string, platform: string): Uint8Array {
  const dtype = { qnt_method: "", qnt_type: "", vx_type: "" };
  const edge = (left: string, tensor: number): object => ({
    left,
    left_tensor_id: 0,
    right: "norm_tensor",
    right_tensor_id: tensor,
  });
  const json = Buffer.from(
    JSON.stringify({
      version: toolkit,
      target_platform: [platform],
      input_num: 1,
      output_num: 1,
      norm_tensor: [
        { tensor_id: 0, url: "obs", size: [1, 45], dtype },
        { tensor_id: 1, url: "actions", size: [1, 12], dtype },
      ],
      graph: [edge("input", 0), edge("output", 1)],
    }),
  );
  const payload = Buffer.from("\0\0\0\0RKNN\0\0\0\0\0\0\0\0", "latin1");
  const head = Buffer.alloc(64);
  head.write("RKNN", "latin1");
  head.writeBigUInt64LE(6n, 8);
  head.writeBigUInt64LE(BigInt(payload.length), 16);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([head, payload, length, json]);
}

/** The golden text of `file`; written from `found` where goldens are to be updated. */
export function golden(file: string, found: string): string {
  const path = join(DIRECTORY, file);
  if (process.env.UPDATE_GOLDEN === "1") {
    writeFileSync(path, found);
    const made = "what doctor says of the machine (UPDATE_GOLDEN=1 bun test src/doctor)";
    listInManifest(`doctor/${file}`, made);
    const machine = `doctor/${file.replace(/\.\w+$/, ".yaml")}`;
    if (existsSync(join(FIXTURES, machine))) {
      listInManifest(machine, "a machine in words, from reports of the vendor's kernel");
    }
  }
  return existsSync(path) ? readFileSync(path, "utf8") : "";
}

function listInManifest(file: string, made: string): void {
  const manifest = join(FIXTURES, "manifest.json");
  const rows = JSON.parse(readFileSync(manifest, "utf8")) as { file: string }[];
  const bytes = readFileSync(join(FIXTURES, file));
  const kind = file.endsWith(".yaml") ? "machine" : "diagnosis";
  const row = {
    file,
    kind,
    sha256: sha256(bytes),
    bytes: bytes.length,
    made,
    licence: "Apache-2.0",
  };
  const sorted = [...rows.filter((other) => other.file !== file), row].sort((a, b) =>
    a.file < b.file ? -1 : 1,
  );
  writeFileSync(manifest, `${JSON.stringify(sorted, null, 2)}\n`);
}
