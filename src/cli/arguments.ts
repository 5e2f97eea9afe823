/**
 * From the user's words to a verb's checked arguments: cac takes the words apart, variables and
 * files add what is not among them, one schema per flag says what each means.
 */

import type { CAC } from "cac";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { type Command, flagName, positionalsOf, takesList, takesText } from "./command.ts";
import { createCli, GLOBAL_SWITCHES } from "./program.ts";
import {
  mergeSettings,
  readSettings,
  type Setting,
  type Settings,
  type Sources,
} from "./settings.ts";
import { nearest, spellSwitches, takeDenials, typedValue } from "./words.ts";

export interface GivenArguments {
  /** The user's own words, with what the settings add behind them. */
  readonly positionals: readonly string[];
  readonly settings: Settings;
  readonly showConfig: boolean;
}

/** What the user wrote for this verb, checked, without files and variables. */
export function readArguments(
  command: Command,
  argv: readonly string[],
): { positionals: readonly string[]; flags: Record<string, unknown> } {
  return checkArguments(command, gatherArguments(command, ["--no-config-file", ...argv], {}));
}

/** The command line, and what variables and files add. After `--` everything is a positional. */
export function gatherArguments(
  command: Command,
  argv: readonly string[],
  env: Sources["env"],
): GivenArguments {
  const cli = createCli(command);
  const { words, denied } = takeDenials(command, spellSwitches(command, argv));
  const { args, options } = cli.parse(["bun", "lite3rl", ...words], { run: false });
  checkHaveValues(cli);
  const { "--": rest = [], ...flags } = options;
  checkFlagNames(command, flags);
  const { json: _json, quiet: _quiet, showConfig: show, configFile, ...given } = flags;
  const asTyped = (key: string, value: unknown): unknown => {
    const schema = command.flags[key]?.schema;
    const isText = typeof value === "number" && schema !== undefined && takesText(schema);
    return isText ? typedValue(key, words) : value;
  };
  const own = new Map(
    Object.entries(given).map(([key, value]) => [key, written(key, asTyped(key, value))]),
  );
  const named = configFile === undefined ? env.LITE3RL_CONFIG_FILE || undefined : `${configFile}`;
  const isDenied = denied.includes("configFile");
  const layers = readSettings(command, { env, configFile: isDenied ? false : named });
  for (const key of denied.filter((name) => name !== "configFile")) {
    checkDeniable(command, key, own, layers);
    own.set(key, written(key, undefined));
  }
  const positionals = [...args, ...(rest as string[])];
  positionalsOf(command).forEach(({ name }, i) => {
    if (i < positionals.length) own.set(name, { ...written(name, positionals[i]), name });
  });
  const replaced = command.positionalsTogether === true && positionals.length > 0;
  const names = replaced ? positionalsOf(command).map(({ name }) => name) : [];
  const merged = mergeSettings(
    [own, ...layers.map((layer) => without(layer, names))],
    command.rivals,
  );
  const all = addPositionals(command, positionals, merged);
  const settings = leaveOut(
    merged,
    command.unused?.(all, (key) => merged.get(key)?.value),
  );
  return { positionals: all, settings, showConfig: show === true };
}

/** The settings without those that mean nothing here, unless the user's own words say them. */
function leaveOut(settings: Settings, unused: readonly string[] = []): Settings {
  const isLeft = ([key, { source }]: [string, Setting]): boolean =>
    source === "command line" || !unused.includes(key);
  return new Map([...settings].filter(isLeft));
}

const without = (layer: Settings, keys: readonly string[]): Settings =>
  new Map([...layer].filter(([key]) => !keys.includes(key)));

function written(key: string, value: unknown): Setting {
  const subject = flagName(key);
  const place = { source: "command line", origin: "command line" };
  return { name: subject.slice(2), value, subject, ...place };
}

/** `--no-model` takes back what a file or variable says; without those it says nothing. */
function checkDeniable(
  command: Command,
  key: string,
  own: Settings,
  layers: readonly Settings[],
): void {
  if (!own.has(key) && layers.some((layer) => layer.has(key))) return;
  const name = flagName(key);
  throw new Lite3Error("USAGE", `${name} needs a value: ${name} ${command.flags[key]?.value}`);
}

/** Positionals that were not written come from the settings, as far as those go. */
function addPositionals(
  command: Command,
  found: readonly string[],
  settings: Settings,
): readonly string[] {
  const all = [...found];
  for (const { name } of positionalsOf(command).slice(found.length)) {
    const setting = settings.get(name);
    if (setting === undefined) break;
    all.push(...[setting.value].flat().map(String));
  }
  return all;
}

export function checkArguments(
  command: Command,
  { positionals, settings }: GivenArguments,
): { positionals: readonly string[]; flags: Record<string, unknown> } {
  checkPositionals(command, positionals);
  return { positionals, flags: checkFlags(command, settings) };
}

function checkHaveValues(cli: CAC): void {
  try {
    cli.matchedCommand?.checkOptionValue();
  } catch (error) {
    const option = /`(.+)`/.exec((error as Error).message)?.[1] ?? "a flag";
    const [name = option, value = "<value>"] = option.split(" ");
    throw new Lite3Error("USAGE", `${name} needs a value: ${name} ${value}`, { cause: error });
  }
}

/** `<x>` must be there, `[x]` may be, `[...x]` takes all that follow. */
function checkPositionals(command: Command, found: readonly string[]): void {
  const wanted = command.positionals === "" ? [] : command.positionals.split(" ");
  const needed = wanted.filter((word) => word.startsWith("<"));
  const most = wanted.some((word) => word.startsWith("[...")) ? Infinity : wanted.length;
  if (found.length >= needed.length && found.length <= most) return;
  const hint = `lite3rl ${command.example}`;
  if (found.length < needed.length) {
    const missing = needed.slice(found.length).join(" ");
    throw new Lite3Error("USAGE", `${command.name} needs ${missing}, for example: ${hint}`);
  }
  const extra = found.slice(wanted.length).map(quote).join(", ");
  throw new Lite3Error(
    "USAGE",
    `${command.name} takes ${wanted.join(" ") || "no arguments"}, ` +
      `and does not know what to do with ${extra}, for example: ${hint}`,
  );
}

/** Every flag has a meaning, none is ignored, and each is given once. */
function checkFlagNames(command: Command, given: Record<string, unknown>): void {
  const keys = [...Object.keys(command.flags), ...Object.keys(GLOBAL_SWITCHES), "configFile"];
  const known = [...keys, "help"].map(flagName);
  for (const [key, value] of Object.entries(given)) {
    const name = flagName(key);
    if (!known.includes(name)) {
      const word = value === false ? `--no-${name.slice(2)}` : name;
      throw unknownFlag(key.length === 1 ? `-${key}` : word, command.name, known);
    }
    const schema = command.flags[key]?.schema;
    if (Array.isArray(value) && (schema === undefined || !takesList(schema))) {
      throw new Lite3Error("USAGE", `${name} was given ${value.length} times, it is taken once`);
    }
    if (key in GLOBAL_SWITCHES && typeof value !== "boolean") {
      throw new Lite3Error("USAGE", `${name} takes no value, got ${quote(value)}`);
    }
  }
}

/** The flags' values with their defaults. A refusal says where the value stands. */
function checkFlags(command: Command, settings: Settings): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(command.flags).flatMap(([key, { schema }]) => {
      const setting = settings.get(key);
      const checked = v.safeParse(schema, setting?.value);
      if (checked.success) return checked.output === undefined ? [] : [[key, checked.output]];
      if (setting?.value !== undefined) throw badValue(setting, checked.issues[0].message);
      const example = `lite3rl ${command.example}`;
      const message = `${command.name} needs ${flagName(key)}, for example: ${example}`;
      throw new Lite3Error("USAGE", message);
    }),
  );
}

/** As `checkFlags`, but what is not given is not missed. */
export function checkGiven(command: Command, settings: Settings): void {
  for (const [key, { schema }] of Object.entries(command.flags)) {
    const setting = settings.get(key);
    if (setting?.value === undefined) continue;
    const checked = v.safeParse(schema, setting.value);
    if (!checked.success) throw badValue(setting, checked.issues[0].message);
  }
}

function badValue({ source, subject }: Setting, message: string): Lite3Error {
  return new Lite3Error(source === "command line" ? "USAGE" : "CONFIG", `${subject} ${message}`);
}

export function unknownFlag(flag: string, verb: string, known: readonly string[]): Lite3Error {
  return new Lite3Error(
    "USAGE",
    `Unknown flag ${quote(flag)} for ${verb}${nearest(flag, known)}; see --help`,
  );
}
