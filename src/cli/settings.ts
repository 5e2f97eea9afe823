/**
 * Where a verb's flags and positional arguments come from: the command line, then `LITE3RL_*`
 * variables, then `lite3rl.yaml`, then defaults. Every value keeps its origin, which errors,
 * notices and `--show-config` name; all of them pass the same schemas.
 *
 * `LITE3RL_SERVE_SOCKET` is `--socket` of `serve`, `LITE3RL_SOCKET` that of every verb that has it
 * and means the same by it.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { type Command, flagName, positionalsOf, takesPath } from "./command.ts";
import { setProjectFile } from "../policy/project_file.ts";
import { findConfigFiles, projectFileOf, readConfigFile } from "./config_file.ts";

/** One value, wherever it was given. */
export interface Setting {
  /** As on the command line, without dashes: `obs-stats`, `checkpoint`. */
  readonly name: string;
  /** As cac gives it: text, a number, true or false; undefined for what `--no-…` took back. */
  readonly value: unknown;
  /** `command line`, `environment`, or the file. */
  readonly source: string;
  /** The place in the source: `--model`, `LITE3RL_MODEL`, `lite3rl.yaml:12`. */
  readonly origin: string;
  /** What a refusal begins with, before `needs a path, got 3`. */
  readonly subject: string;
}

/** By flag (camelCase) or positional (as written); weaker layers come later. */
export type Settings = ReadonlyMap<string, Setting>;

/** What can be set for a verb, by its name in files and variables. */
export interface Settable {
  readonly key: string;
  readonly takes: "switch" | "value" | "optional value" | "positional" | "positionals";
  readonly isPath: boolean;
  /** Only the verb's own variable sets it. */
  readonly isVerbsOwn: boolean;
}

export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The file that `--config-file` names, none for false, the usual ones if undefined. */
  readonly configFile?: string | false | undefined;
}

/** Everything that can be set for a verb. */
export function settablesOf(command: Command): ReadonlyMap<string, Settable> {
  const flags = Object.entries(command.flags).map(([key, flag]) => {
    const { value, schema, isVerbsOwn = false } = flag;
    const takes =
      value === undefined ? "switch" : value.startsWith("[") ? "optional value" : "value";
    return [flagName(key).slice(2), { key, takes, isPath: takesPath(schema), isVerbsOwn }] as const;
  });
  const positionals = positionalsOf(command).map(({ name, isVariadic }) => {
    const takes = isVariadic ? "positionals" : "positional";
    return [name, { key: name, takes, isPath: false, isVerbsOwn: false }] as const;
  });
  return new Map<string, Settable>([...positionals, ...flags]);
}

/** The layers below the command line, strongest first; the run goes by their project. */
export function readSettings(command: Command, sources: Sources): Settings[] {
  const settables = settablesOf(command);
  const found = findConfigFiles(sources.configFile);
  setProjectFile(projectFileOf(found));
  const files = found.flatMap((path) => {
    const { section, shared } = readConfigFile(path, command.name, settables);
    return [section, shared];
  });
  return [...readVariables(command.name, settables, sources.env), ...files];
}

/** One setting per key, the strongest; of two rivals the stronger, and both if they are equal. */
export function mergeSettings(
  layers: readonly Settings[],
  rivals: Command["rivals"] = [],
): Map<string, Setting> {
  const merged = new Map<string, Setting>();
  for (const layer of layers) {
    const isDisplaced = (key: string): boolean =>
      merged.has(key) ||
      rivals.some(([a, b]) => (a === key && merged.has(b)) || (b === key && merged.has(a)));
    const fresh = [...layer].filter(([key]) => !isDisplaced(key));
    for (const [key, setting] of fresh) merged.set(key, setting);
  }
  return merged;
}

/** The notices that say what did not come from the command line, one per source. */
export function describeSources(settings: Settings): string[] {
  const bySource = Map.groupBy(settings.values(), ({ source }) => source);
  bySource.delete("command line");
  return [...bySource].map(([source, used]) => {
    const names = used.map(({ name, origin }) => (source === "environment" ? origin : name));
    return `using ${source === "environment" ? "the environment" : source}: ${names.join(", ")}`;
  });
}

function readVariables(
  verb: string,
  settables: ReadonlyMap<string, Settable>,
  env: Sources["env"],
): Settings[] {
  const words = `LITE3RL_${verb.toUpperCase().replaceAll("-", "_")}`;
  const read = (prefix: string): Settings => {
    const layer = new Map<string, Setting>();
    for (const [name, settable] of settables) {
      if (settable.isVerbsOwn && prefix !== words) continue;
      const variable = `${prefix}_${name.toUpperCase().replaceAll("-", "_")}`;
      const text = env[variable];
      if (text === undefined || text === "") continue;
      const value = parseVariable(variable, settable, text);
      const place = { source: "environment", origin: variable, subject: variable };
      if (value !== undefined) layer.set(settable.key, { name, value, ...place });
    }
    return layer;
  };
  return [read(words), read("LITE3RL")];
}

const YES = /^(?:true|yes|on|1)$/i;
const NO = /^(?:false|no|off|0)$/i;

/** A variable's text as cac would have it; undefined means that it sets nothing. */
function parseVariable(variable: string, { takes }: Settable, text: string): unknown {
  if (takes === "positionals") return text.split(" ").filter(Boolean);
  if (takes === "positional") return text;
  if (takes !== "value") {
    if (YES.test(text)) return true;
    if (NO.test(text)) return takes === "switch" ? false : undefined;
    if (takes === "switch") {
      throw new Lite3Error("CONFIG", `${variable} needs true or false, got ${quote(text)}`);
    }
  }
  const number = Number(text);
  return text.trim() !== "" && Number.isFinite(number) ? number : text;
}
