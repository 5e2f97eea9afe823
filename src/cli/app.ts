/**
 * The command line: finds the verb, checks its flags, runs it, prints its result. The one place
 * that prints errors and decides the exit status.
 */

import { cac, type CAC, type Command as CacCommand } from "cac";
import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { AssertionError } from "../base/assert.ts";
import { ERROR_CODES, Lite3Error, quote } from "../base/errors.ts";
import { complain, notice, setQuiet } from "../base/log.ts";
import { type Command, type CommandResult, flagName, positionalsOf } from "./command.ts";
import { printResult } from "./output.ts";
import {
  describeSources,
  mergeSettings,
  readSettings,
  type Setting,
  type Settings,
  type Sources,
} from "./settings.ts";
import { showConfig } from "./show_config.ts";
import { ABSENT, VERBS, type Verb } from "./verbs.ts";
import { joinValues, nearest, spellSwitches, takeDenials } from "./words.ts";

const CONFIG_FILE = {
  name: "--config-file <yaml>",
  help: "Flags not given (default: lite3rl.yaml, /etc/lite3rl/lite3rl.yaml); --no-config-file: none",
};

const GLOBAL_SWITCHES = {
  json: "Print one JSON document on stdout, everything else on stderr",
  quiet: "Print no progress and no notices",
  showConfig: "Print what every flag is and where that comes from, and run nothing",
} as const;

/** Runs the program with the user's arguments; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes("--json");
  try {
    setQuiet(argv.includes("--quiet"));
    return await dispatch(joinValues(argv), json);
  } catch (error) {
    return report(error, json);
  }
}

async function dispatch(typed: string[], json: boolean): Promise<number> {
  // `lite3rl help export` is `lite3rl export --help`.
  const argv = typed[0] === "help" ? [...typed.slice(1), "--help"] : typed;
  const word = argv.find((argument) => !argument.startsWith("-"));
  const wantsHelp = argv.includes("--help") || argv.includes("-h");
  if (word === undefined) {
    if (argv.includes("--version") || argv.includes("-v")) {
      printVersion(json);
      return 0;
    }
    const stray = argv.find(
      (argument) => !["-h", "--help", "--json", "--quiet"].includes(argument),
    );
    if (stray !== undefined) throw unknownFlag(stray, "lite3rl", ["--help", "--version"]);
    createCli().outputHelp();
    return 0;
  }
  const verb = findVerb(word);
  const command = await verb.load();
  if (wantsHelp) {
    const cli = createCli(command);
    cli.parse(["bun", "lite3rl", ...argv], { run: false });
    cli.outputHelp();
    return 0;
  }
  const given = gatherArguments(command, argv, process.env);
  if (given.showConfig) {
    checkGiven(command, given.settings);
    print(showConfig(command, given.settings), json);
    return 0;
  }
  const { positionals, flags } = checkArguments(command, given);
  for (const line of describeSources(given.settings)) notice(line);
  const result = await command.run(positionals, flags as never, {
    announce: (announced) => print(announced, json),
  });
  if (result === undefined) return 0;
  print(result, json);
  return result.failure === undefined ? 0 : ERROR_CODES.CHECK_FAILED.status;
}

function printVersion(json: boolean): void {
  const about = { version, bun: Bun.version, platform: `${process.platform}-${process.arch}` };
  const text = `lite3rl ${version} (bun ${about.bun}, ${about.platform})`;
  printResult(json ? JSON.stringify(about, null, 2) : text);
}

function print(result: CommandResult, json: boolean): void {
  if (json) printResult(JSON.stringify(result.json, null, 2));
  else if (result.text !== "") printResult(result.text);
  if (result.failure !== undefined) complain("failed", result.failure);
}

function report(error: unknown, json: boolean): number {
  const known = error instanceof Lite3Error;
  const code = known ? error.code : "BUG";
  const { status } = ERROR_CODES[code];
  const message = error instanceof Error ? error.message : String(error);
  if (json) {
    try {
      printResult(JSON.stringify({ error: { code, status, message } }, null, 2));
    } catch {
      // Nobody reads stdout: the line on stderr is all that is left.
    }
  }
  if (known) {
    complain("error", message);
  } else {
    const kind = error instanceof AssertionError ? "assertion" : "unexpected error";
    const stack = error instanceof Error ? error.stack : undefined;
    complain("bug", `${kind}, please report it: ${stack ?? message}`);
  }
  return status;
}

function findVerb(word: string): Verb {
  const plain = word.replace(/\.py$/, "");
  const verb = VERBS.find(({ name, aliases }) => name === plain || aliases.includes(plain));
  if (verb !== undefined) return verb;
  const instead = ABSENT[plain];
  if (instead !== undefined) {
    throw new Lite3Error("UNSUPPORTED", `${quote(word)} is not in this version: ${instead}`);
  }
  const known = VERBS.flatMap(({ name, aliases }) => [name, ...aliases]);
  throw new Lite3Error(
    "USAGE",
    `Unknown verb ${quote(word)}${nearest(plain, known)}; lite3rl --help lists all`,
  );
}

/** Registers every verb by name for the help page, and the loaded one with its flags. */
function createCli(loaded?: Command): CAC {
  const cli = cac("lite3rl");
  cli.usage("<verb> [options]");
  cli.option("--help", "Show this help, or that of a verb");
  if (loaded === undefined) cli.option("--version", "Show the version");
  for (const [key, help] of Object.entries(GLOBAL_SWITCHES)) cli.option(flagName(key), help);
  cli.option(CONFIG_FILE.name, CONFIG_FILE.help);
  for (const { name, summary } of VERBS) {
    if (name === loaded?.name) describe(cli, loaded);
    else if (loaded === undefined) cli.command(name, summary);
  }
  cli.globalCommand.helpCallback = (sections) => [
    { body: `lite3rl ${version}` },
    ...sections
      .slice(1)
      .filter(({ title }) => !title?.startsWith("For more info"))
      .map(({ title = "", body }) => ({
        title: title === "Commands" ? "Verbs" : title,
        body: body.replaceAll(/ +$/gm, "").replaceAll(" (default: true)", ""),
      })),
  ];
  return cli;
}

function describe(cli: CAC, command: Command): CacCommand {
  const { aliases } = VERBS.find(({ name }) => name === command.name) as Verb;
  const words = cli.command(`${command.name} ${command.positionals}`.trim(), command.summary);
  words.allowUnknownOptions();
  // Defaults are the schemas': one of cac's would look like the user's own word.
  words.ignoreOptionDefaultValue();
  const usage = [command.name, command.positionals, "[options]"].filter(Boolean).join(" ");
  words.usage(`${usage}\n\n  ${command.summary}`);
  for (const alias of aliases) {
    words.alias(alias);
    words.alias(`${alias}.py`);
  }
  for (const [key, flag] of Object.entries(command.flags)) {
    const name = flag.isOnByDefault === true ? flagName(`no-${key}`) : flagName(key);
    words.option([name, flag.value].filter(Boolean).join(" "), flag.help);
  }
  words.example(`  $ lite3rl ${command.example}`);
  words.action(() => {});
  return words;
}

interface GivenArguments {
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
function gatherArguments(
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
  const own = new Map(Object.entries(given).map(([key, value]) => [key, written(key, value)]));
  const named = configFile === undefined ? undefined : String(configFile);
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
  const settings = mergeSettings([own, ...layers], command.rivals);
  return {
    positionals: addPositionals(command, positionals, settings),
    settings,
    showConfig: show === true,
  };
}

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

function checkArguments(
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

function checkPositionals(command: Command, found: readonly string[]): void {
  const wanted = command.positionals === "" ? [] : command.positionals.split(" ");
  const needed = wanted.filter((word) => word.startsWith("<"));
  if (found.length >= needed.length && found.length <= wanted.length) return;
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
    if (key in GLOBAL_SWITCHES && typeof value !== "boolean") {
      throw new Lite3Error("USAGE", `${name} takes no value, got ${quote(value)}`);
    }
    if (Array.isArray(value)) {
      throw new Lite3Error("USAGE", `${name} was given ${value.length} times, it is taken once`);
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
function checkGiven(command: Command, settings: Settings): void {
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

function unknownFlag(flag: string, verb: string, known: readonly string[]): Lite3Error {
  return new Lite3Error(
    "USAGE",
    `Unknown flag ${quote(flag)} for ${verb}${nearest(flag, known)}; see --help`,
  );
}
