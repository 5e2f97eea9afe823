/**
 * The command line: finds the verb, checks its flags, runs it, prints its result. The one place
 * that prints errors and decides the exit status.
 */

import { version } from "../../package.json" with { type: "json" };
import { AssertionError } from "../base/assert.ts";
import { ERROR_CODES, Lite3Error, quote } from "../base/errors.ts";
import { complain, notice, setQuiet } from "../base/log.ts";
import { annotate } from "./annotations.ts";
import { checkArguments, checkGiven, gatherArguments, unknownFlag } from "./arguments.ts";
import type { CommandResult } from "./command.ts";
import { printResult } from "./output.ts";
import { createCli } from "./program.ts";
import { describeSources } from "./settings.ts";
import { showConfig } from "./show_config.ts";
import { INTERNAL_VERBS, VERBS, type Verb } from "./verbs.ts";
import { joinValues, nearest } from "./words.ts";

const ALL_VERBS: readonly Verb[] = [...VERBS, ...INTERNAL_VERBS];

/** Runs the program with the user's arguments; resolves to the exit status. */
export async function main(argv: readonly string[]): Promise<number> {
  const json = argv.includes("--json");
  try {
    setQuiet(argv.includes("--quiet"));
    return await dispatch(joinValues(argv), json);
  } catch (error) {
    return report(error, json, argv);
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
  if (result.failure === undefined) return 0;
  const title = `lite3rl ${verb.name}`;
  (result.annotations ?? [{ title, message: result.failure }]).forEach(annotate);
  return ERROR_CODES[result.failureCode ?? "CHECK_FAILED"].status;
}

function printVersion(json: boolean): void {
  const about = { version, bun: Bun.version, platform: `${process.platform}-${process.arch}` };
  const text = `lite3rl ${version} (bun ${about.bun}, ${about.platform})`;
  printResult(json ? JSON.stringify(about, null, 2) : text);
}

function print(result: CommandResult, json: boolean): void {
  if (json) printResult(JSON.stringify(result.json, null, 2));
  else if (result.text !== "") printResult(result.text);
  if (result.failure === undefined) return;
  complain(result.failureCode === undefined ? "failed" : "error", result.failure);
}

function report(error: unknown, json: boolean, argv: readonly string[]): number {
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
  const verb = argv.find((argument) => !argument.startsWith("-"));
  annotate({ title: ["lite3rl", verb].filter(Boolean).join(" "), message });
  return status;
}

function findVerb(word: string): Verb {
  const plain = word.replace(/\.py$/, "");
  const verb = ALL_VERBS.find(({ name, aliases }) => name === plain || aliases.includes(plain));
  if (verb !== undefined) return verb;
  const known = VERBS.flatMap(({ name, aliases }) => [name].concat(aliases));
  throw new Lite3Error(
    "USAGE",
    `Unknown verb ${quote(word)}${nearest(plain, known)}; lite3rl --help lists all`,
  );
}
