/**
 * The program as cac knows it: every verb by name, and the one that is called with its flags.
 */

import { cac, type CAC, type Command as CacCommand } from "cac";
import { version } from "../../package.json" with { type: "json" };
import { wrap } from "../base/text.ts";
import { type Command, flagName } from "./command.ts";
import { INTERNAL_VERBS, VERBS, type Verb } from "./verbs.ts";

const CONFIG_FILE = {
  name: "--config-file <yaml>",
  help: "Where flags not given come from (default: lite3rl.yaml); --no-config-file: nowhere",
};

/** Switches of every verb. */
export const GLOBAL_SWITCHES = {
  json: "Print one JSON document on stdout, everything else on stderr",
  quiet: "Print no progress and no notices",
  showConfig: "Print what every flag is and where that comes from, and run nothing",
} as const;

/** Registers every verb by name for the help page, and the loaded one with its flags. */
export function createCli(loaded?: Command): CAC {
  const cli = cac("lite3rl");
  cli.usage("<verb> [options]");
  cli.option("--help", "Show this help, or that of a verb");
  if (loaded === undefined) cli.option("--version", "Show the version");
  for (const [key, help] of Object.entries(GLOBAL_SWITCHES)) cli.option(flagName(key), help);
  cli.option(CONFIG_FILE.name, CONFIG_FILE.help);
  if (loaded !== undefined) describe(cli, loaded);
  else for (const { name, summary } of VERBS) cli.command(name, summary);
  cli.globalCommand.helpCallback = (sections) => [
    { body: `lite3rl ${version}` },
    ...sections
      .slice(1)
      .filter(({ title }) => !title?.startsWith("For more info"))
      .map(({ title = "", body }) => ({
        title: title === "Commands" ? "Verbs" : title,
        body: wrapColumns(body.replaceAll(/ +$/gm, "").replaceAll(" (default: true)", "")),
      })),
  ];
  return cli;
}

/** The usual terminal. */
const COLUMNS = 80;

/** Breaks what stands behind `  --flag <value>  `, and goes on below it. */
function wrapColumns(body: string): string {
  const wrapLine = (line: string): string => {
    const [, words = "", text = ""] = /^( {2}\S.*? {2,})(\S.*)$/.exec(line) ?? [];
    if (line.length <= COLUMNS || words === "") return line;
    return words + wrap(text, COLUMNS - words.length).join(`\n${" ".repeat(words.length)}`);
  };
  return body.split("\n").map(wrapLine).join("\n");
}

function describe(cli: CAC, command: Command): CacCommand {
  const { aliases } = [...VERBS, ...INTERNAL_VERBS].find(
    ({ name }) => name === command.name,
  ) as Verb;
  const words = cli.command(`${command.name} ${command.positionals}`.trim(), command.summary);
  words.allowUnknownOptions();
  // Defaults are the schemas': one of cac's would look like the user's own word.
  words.ignoreOptionDefaultValue();
  const usage = [command.name, command.positionals, "[options]"].filter(Boolean).join(" ");
  const about = [command.summary, ...(command.details ?? []).map((line) => `  ${line}`)];
  words.usage(`${usage}\n\n  ${about.join("\n")}`);
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
