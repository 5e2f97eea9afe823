/**
 * `lite3rl.yaml`: flags and positional arguments of verbs, by their names on the command line.
 *
 *     obs-stats: inputs/obs_stats.npz     # for every verb that has --obs-stats
 *     serve:
 *       model: build/policy.onnx
 *       warmup: 16
 *
 * The file can set what flags can set, and nothing else: it has no aliases, tags or nesting beyond
 * this, and an unknown key is refused with its line. Paths in it are relative to its directory.
 */

import { existsSync, statSync } from "node:fs";
import { dirname, isAbsolute, join } from "node:path";
import { isMap, isScalar, isSeq, type YAMLMap } from "yaml";
import { Lite3Error, quote } from "../base/errors.ts";
import { PROJECT_FILE } from "../policy/project_file.ts";
import { readYamlDocument, type YamlDocument } from "../policy/yaml_file.ts";
import type { Settable, Setting, Settings } from "./settings.ts";
import { VERBS } from "./verbs.ts";
import { nearest } from "./words.ts";

/** Of the directory, then of the machine. */
const MACHINE_FILE = "/etc/lite3rl/lite3rl.yaml";
const USUAL_FILES = [PROJECT_FILE, MACHINE_FILE];

/** The one of these files that is a project's. */
export const projectFileOf = (files: readonly string[]): string | undefined =>
  files.find((path) => path !== MACHINE_FILE);

/** Flags that mean the same to every verb that has them, so that they can stand at the top. */
export const SHARED_KEYS = [
  "model",
  "obs-stats",
  "env",
  "dataset",
  "start",
  "rate",
  "seed",
  "target",
  "python",
] as const;

/** The files to read, strongest first: the one named, none, or the usual ones that exist. */
export function findConfigFiles(named: string | false | undefined): readonly string[] {
  if (named === false) return [];
  if (named !== undefined) return [named];
  const found = USUAL_FILES.filter((path) => existsSync(path));
  found.forEach(checkOwner);
  return found;
}

/**
 * A file that nobody named is taken from the user and root only: it can name programs to run.
 * With sudo the user is the one who called it.
 */
function checkOwner(path: string): void {
  const { uid, mode } = statSync(path);
  const trusted = [0, process.getuid?.(), Number(process.env.SUDO_UID ?? 0)];
  const found = trusted.includes(uid)
    ? (mode & 0o002) === 0
      ? undefined
      : "everybody may write it"
    : `it belongs to user ${uid}`;
  if (found === undefined) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot use ${quote(path)}: ${found}, need a file of yours or root's; ` +
      `--config-file ${path} takes it all the same, --no-config-file leaves it`,
  );
}

/** What a file says for one verb: in the verb's section, and at the top for several. */
export function readConfigFile(
  path: string,
  verb: string,
  settables: ReadonlyMap<string, Settable>,
): { readonly section: Settings; readonly shared: Settings } {
  const yaml = readYamlDocument(path);
  const { contents } = yaml.document;
  const at = (node: unknown): string => `Cannot use ${quote(`${path}:${yaml.lineOf(node)}`)}:`;
  const context: Context = { path, yaml, at };
  if (yaml.warning !== undefined) throw refuse(`Cannot use ${quote(path)}:`, yaml.warning);
  let section: Settings = new Map();
  const shared = new Map<string, Setting>();
  if (contents === null || (isScalar(contents) && contents.value === null)) {
    return { section, shared };
  }
  if (!isMap(contents)) throw refuse(at(contents), "need verbs and flags with their values");
  const verbs = VERBS.map(({ name }) => name);
  for (const { key, value } of (contents as YAMLMap).items) {
    const name = keyText(context, key, value);
    const settable = settables.get(name);
    if (verbs.includes(name)) {
      const content = readSection(context, name, value);
      if (name === verb) section = readFlags(context, verb, content, settables);
    } else if (SHARED_KEYS.some((known) => known === name)) {
      if (settable === undefined) continue;
      const setting = readSetting(context, name, name, settable, value);
      if (setting !== undefined) shared.set(settable.key, setting);
    } else {
      const hint =
        settable === undefined
          ? nearest(name, [...verbs, ...SHARED_KEYS]) ||
            `, need a verb, or one of ${SHARED_KEYS.join(", ")}`
          : `: it belongs to one verb, write it under ${verb}`;
      throw refuse(at(key), `unknown key ${quote(name)}${hint}`);
    }
  }
  return { section, shared };
}

interface Context {
  readonly path: string;
  readonly yaml: YamlDocument;
  /** How a refusal of this node begins. */
  at(node: unknown): string;
}

function refuse(at: string, reason: string): Lite3Error {
  return new Lite3Error("CONFIG", `${at} ${reason}`);
}

function keyText({ at }: Context, key: unknown, value: unknown): string {
  if (isScalar(key) && typeof key.value === "string" && value !== null) return key.value;
  throw refuse(at(key), "need the name of a verb or flag, a colon and its value");
}

function readSection({ at }: Context, name: string, value: unknown): YAMLMap | undefined {
  if (isScalar(value) && value.value === null) return undefined;
  if (isMap(value)) return value as YAMLMap;
  throw refuse(at(value), `${name} is a verb, need its flags with their values`);
}

function readFlags(
  context: Context,
  verb: string,
  content: YAMLMap | undefined,
  settables: ReadonlyMap<string, Settable>,
): Settings {
  const layer = new Map<string, Setting>();
  for (const { key, value } of content?.items ?? []) {
    const name = keyText(context, key, value);
    const settable = settables.get(name);
    if (settable === undefined) {
      const hint = nearest(name, [...settables.keys()]) || `; see lite3rl ${verb} --help`;
      throw refuse(context.at(key), `unknown key ${quote(`${verb}.${name}`)}${hint}`);
    }
    const setting = readSetting(context, name, `${verb}.${name}`, settable, value);
    if (setting !== undefined) layer.set(settable.key, setting);
  }
  return layer;
}

/** One value as cac would have it; undefined for an optional value that is turned off. */
function readSetting(
  { path, yaml, at }: Context,
  name: string,
  shown: string,
  { takes, isPath }: Settable,
  node: unknown,
): Setting | undefined {
  const subject = `${at(node)} ${shown}`;
  const directory = dirname(path);
  const scalar = (item: unknown): string | number | boolean => {
    const value = isScalar(item) ? item.value : undefined;
    if (typeof value === "string") {
      if (/\p{Cc}/u.test(value)) throw refuse(subject, "needs a value without control characters");
      return place(directory, value, isPath);
    }
    if (typeof value === "number" || typeof value === "boolean") return value;
    const found = value === null ? "nothing" : "an alias or a mapping";
    throw refuse(subject, `needs a value, got ${found}`);
  };
  const value = isSeq(node) ? node.items.map(scalar) : scalar(node);
  if (takes === "switch" && typeof value !== "boolean") {
    throw refuse(subject, `needs true or false, got ${quote(value)}`);
  }
  if (takes === "optional value" && value === false) return undefined;
  const isList = takes === "positionals";
  return {
    name,
    value: isList ? [value].flat() : Array.isArray(value) ? value.join(",") : value,
    source: path,
    origin: `${path}:${yaml.lineOf(node)}`,
    subject,
  };
}

/**
 * A path as seen from the working directory. Where a flag takes words too (`lite3`, `random`), a
 * path is what begins with ./ or ../, or is a file beside the configuration.
 */
function place(directory: string, value: string, isPath: boolean): string {
  if (directory === "." || isAbsolute(value)) return value;
  const placed = join(directory, value);
  const isFile = (): boolean => existsSync(placed) && statSync(placed).isFile();
  return isPath || /^\.\.?\//.test(value) || isFile() ? placed : value;
}
