/**
 * The command line: finds the verb, checks its flags, runs it, prints its result. The one place
 * that prints errors and decides the exit status.
 */

import { cac, type CAC, type Command as CacCommand } from "cac";
import { closest, distance } from "fastest-levenshtein";
import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { AssertionError } from "../base/assert.ts";
import { ERROR_CODES, Lite3Error, quote } from "../base/errors.ts";
import { complain, setQuiet } from "../base/log.ts";
import { type Command, type CommandResult, flagName } from "./command.ts";
import { printResult } from "./output.ts";
import { ABSENT, VERBS, type Verb } from "./verbs.ts";
import { joinValues, spellSwitches } from "./words.ts";

const GLOBAL_SWITCHES = {
  json: "Print one JSON document on stdout, everything else on stderr",
  quiet: "Print no progress and no notices",
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

async function dispatch(given: string[], json: boolean): Promise<number> {
  // `lite3rl help export` is `lite3rl export --help`.
  const argv = given[0] === "help" ? [...given.slice(1), "--help"] : given;
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
  const { positionals, flags } = readArguments(command, argv);
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
  const known = VERBS.filter(({ isHidden }) => !isHidden).flatMap((one) => [
    one.name,
    ...one.aliases,
  ]);
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
  for (const [name, help] of Object.entries(GLOBAL_SWITCHES)) cli.option(`--${name}`, help);
  for (const { name, summary, isHidden } of VERBS) {
    if (name === loaded?.name) describe(cli, loaded);
    else if (loaded === undefined && !isHidden) cli.command(name, summary);
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

/** What the user wrote for this verb, checked. After `--` everything is a positional. */
export function readArguments(
  command: Command,
  argv: readonly string[],
): { positionals: readonly string[]; flags: Record<string, unknown> } {
  const cli = createCli(command);
  const words = spellSwitches(command, argv);
  const { args, options } = cli.parse(["bun", "lite3rl", ...words], { run: false });
  const { "--": rest = [], ...given } = options;
  checkHaveValues(cli);
  const positionals = [...args, ...(rest as string[])];
  checkPositionals(command, positionals);
  return { positionals, flags: checkFlags(command, given) };
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
  if (found.length === wanted.length) return;
  const hint = `lite3rl ${command.example}`;
  if (found.length < wanted.length) {
    const missing = wanted.slice(found.length).join(" ");
    throw new Lite3Error("USAGE", `${command.name} needs ${missing}, for example: ${hint}`);
  }
  const extra = found.slice(wanted.length).map(quote).join(", ");
  throw new Lite3Error(
    "USAGE",
    `${command.name} takes ${wanted.join(" ") || "no arguments"}, ` +
      `and does not know what to do with ${extra}, for example: ${hint}`,
  );
}

/** One strictObject per verb: every flag has a meaning, none is ignored. */
function checkFlags(command: Command, given: Record<string, unknown>): Record<string, unknown> {
  const entries = Object.fromEntries(
    Object.entries(command.flags).map(([key, { schema }]) => [key, schema]),
  );
  const switches = Object.fromEntries(
    Object.keys(GLOBAL_SWITCHES).map((key) => [key, v.optional(v.boolean())]),
  );
  const known = [...Object.keys(entries), ...Object.keys(switches), "help"].map(flagName);
  for (const [key, value] of Object.entries(given)) {
    const name = flagName(key);
    if (!known.includes(name)) {
      const written = value === false ? `--no-${name.slice(2)}` : name;
      throw unknownFlag(key.length === 1 ? `-${key}` : written, command.name, known);
    }
    if (Array.isArray(value)) {
      throw new Lite3Error("USAGE", `${name} was given ${value.length} times, it is taken once`);
    }
  }
  const checked = v.safeParse(v.strictObject({ ...entries, ...switches }), given);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const name = flagName(String(issue.path?.[0]?.key));
  const example = `lite3rl ${command.example}`;
  throw new Lite3Error(
    "USAGE",
    issue.input === undefined
      ? `${command.name} needs ${name}, for example: ${example}`
      : `${name} ${issue.message}`,
  );
}

function unknownFlag(flag: string, verb: string, known: readonly string[]): Lite3Error {
  return new Lite3Error(
    "USAGE",
    `Unknown flag ${quote(flag)} for ${verb}${nearest(flag, known)}; see --help`,
  );
}

function nearest(word: string, known: readonly string[]): string {
  const candidate = closest(word, known);
  const near = distance(word, candidate) <= Math.max(2, word.length / 3);
  return near ? `: did you mean ${candidate}?` : "";
}
