/**
 * A machine as `--capture` wrote it: a tar, or the directory that was unpacked from it, with the
 * files that the doctor read under their own paths, and `capture.json`, which says what neither
 * tar nor an unpacked directory keeps: owners, devices, and what was absent or refused.
 */

import { statSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { NAME } from "./account.ts";
import { FILE_KINDS, type Machine, type Missing, MISSING, type Reading } from "./machine.ts";

export const INDEX = "capture.json";
/** Changes when older doctors would misread it. */
export const CAPTURE_FORMAT = 1;

const missing = v.picklist(Object.keys(MISSING) as Missing[]);
const id = v.pipe(v.number(), v.integer(), v.minValue(0));
const reading = <S extends v.GenericSchema>(value: S) =>
  v.union([v.strictObject({ value }), v.strictObject({ missing })]);

const PathRecord = v.strictObject({
  stat: v.optional(
    reading(
      v.strictObject({
        kind: v.picklist(FILE_KINDS),
        mode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777)),
        uid: id,
        gid: id,
        opens: v.boolean(),
      }),
    ),
  ),
  names: v.optional(reading(v.array(v.string()))),
  /** The value is in the file of that path. */
  bytes: v.optional(reading(v.literal("file"))),
});

export const CaptureIndex = v.strictObject({
  format: v.literal(CAPTURE_FORMAT),
  /** Of the doctor that made it. */
  version: v.string(),
  /** The service's user. */
  user: v.optional(v.pipe(v.string(), v.regex(NAME))),
  /** Whether that user ran the doctor, so that each file's `opens` is that user's. */
  isByUser: v.boolean(),
  /** What a path that is not listed is: a capture knows nothing of it. */
  unlisted: v.optional(missing, "not captured"),
  paths: v.record(v.string(), PathRecord),
});

export type PathRecord = v.InferOutput<typeof PathRecord>;
export type CaptureIndex = v.InferOutput<typeof CaptureIndex>;

/** Whether a file begins as one that `--capture` wrote: a tar whose first entry is the index. */
export const isCapture = (head: Uint8Array): boolean =>
  Buffer.from(head).toString("latin1").startsWith(`${INDEX}\0`);

/** Opens a capture; undefined if `root` is a directory that is none. Throws for a broken one. */
export async function openCaptured(root: string): Promise<Machine | undefined> {
  const load = statSync(root, { throwIfNoEntry: false })?.isDirectory()
    ? directoryFiles(root)
    : await tarFiles(root);
  const index = load(INDEX);
  if (index === undefined) {
    if (statSync(root).isDirectory()) return undefined;
    throw broken(root, `it has no ${INDEX}, need one that lite3rl doctor --capture wrote`);
  }
  return capturedMachine(root, parseIndex(root, index), load);
}

type Files = (name: string) => Uint8Array | undefined;

function directoryFiles(root: string): Files {
  return (name) => {
    const path = join(root, name);
    const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() === true;
    return isFile ? readFile(path, LIMITS.captureBytes) : undefined;
  };
}

async function tarFiles(path: string): Promise<Files> {
  const bytes = readFile(path, LIMITS.captureBytes);
  let entries: Map<string, Blob>;
  try {
    entries = await new Bun.Archive(bytes).files();
  } catch (error) {
    throw broken(path, "it is no tar, need one that lite3rl doctor --capture wrote", error);
  }
  const files = new Map<string, Uint8Array>();
  for (const [name, file] of entries) files.set(name.replace(/^\.?\//, ""), await file.bytes());
  return (name) => files.get(name);
}

function parseIndex(root: string, bytes: Uint8Array): CaptureIndex {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    throw broken(root, `${INDEX} is no JSON`, error);
  }
  const checked = v.safeParse(CaptureIndex, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const where = v.getDotPath(issue) ?? "the document";
  throw broken(root, `${INDEX}: ${where} is not what doctor ${version} writes there`);
}

const broken = (root: string, problem: string, cause?: unknown): Lite3Error =>
  new Lite3Error("MALFORMED", `Cannot read the capture ${quote(root)}: ${problem}`, { cause });

function capturedMachine(root: string, index: CaptureIndex, load: Files): Machine {
  const unlisted = { missing: index.unlisted };
  const recordOf = (path: string): PathRecord | undefined =>
    Object.hasOwn(index.paths, path) ? index.paths[path] : undefined;
  return {
    place: `the capture ${quote(root)}`,
    isLive: false,
    user: index.user,
    opensFor: index.isByUser ? index.user : undefined,
    stat: (path) => recordOf(path)?.stat ?? unlisted,
    names: (path) => recordOf(path)?.names ?? unlisted,
    bytes(path): Reading<Uint8Array> {
      const record = recordOf(path)?.bytes ?? unlisted;
      if ("missing" in record) return record;
      const bytes = load(path.slice(1));
      return bytes === undefined ? { missing: "not captured" } : { value: bytes };
    },
  };
}
