/**
 * The user's words before cac sees them: it would take some of them otherwise than they are meant.
 */

import { closest, distance } from "fastest-levenshtein";
import { Lite3Error, quote } from "../base/errors.ts";
import { type Command, flagName } from "./command.ts";

/**
 * Joins a value that begins with a minus and a digit to the flag before it, since cac would take
 * `-0.5,0,0` for short flags: `--command=-0.5,0,0`. Refuses empty values, which cac makes 0 of.
 */
export function joinValues(argv: readonly string[]): string[] {
  const joined: string[] = [];
  for (const argument of argv) {
    const before = joined.at(-1);
    const isAfterFlag = before?.startsWith("--") === true && !before.includes("=");
    if ((argument === "" && isAfterFlag) || /^--[\w-]+=$/.test(argument)) {
      const flag = argument === "" ? before : argument.slice(0, -1);
      throw new Lite3Error("USAGE", `${flag} needs a value, got an empty one`);
    }
    if (argument === "") {
      throw new Lite3Error("USAGE", `Cannot use argument ${quote(argument)}: it is empty`);
    }
    if (isAfterFlag && /^-\.?\d/.test(argument))
      joined[joined.length - 1] = `${before}=${argument}`;
    else joined.push(argument);
  }
  return joined;
}

/**
 * Spells switches as cac knows them, `--dynamicBatch`: under their own names it does not see that
 * they take no value, and would give them the argument that follows.
 */
export function spellSwitches(command: Command, argv: readonly string[]): string[] {
  const switches = new Map(
    Object.entries(command.flags).flatMap(([key, { value }]) =>
      value === undefined ? [[flagName(key), `--${key}`]] : [],
    ),
  );
  switches.set("--show-config", "--showConfig");
  return argv.map((argument) => switches.get(argument) ?? argument);
}

/**
 * Takes `--no-<flag>` of flags with a value out of the words: it means that neither file nor
 * variable sets the flag. Returns the flags' keys; `configFile` is among them.
 */
export function takeDenials(
  command: Command,
  argv: readonly string[],
): { readonly words: string[]; readonly denied: string[] } {
  const deniable = new Map([["--no-config-file", "configFile"]]);
  for (const [key, { value }] of Object.entries(command.flags)) {
    if (value !== undefined) deniable.set(`--no-${flagName(key).slice(2)}`, key);
  }
  const end = argv.indexOf("--");
  const isDenial = (word: string, at: number): boolean =>
    deniable.has(word) && (end < 0 || at < end);
  return {
    words: argv.filter((word, at) => !isDenial(word, at)),
    denied: argv.filter(isDenial).map((word) => deniable.get(word) ?? word),
  };
}

/** What was typed as the flag's value, of which cac makes a number: `1.0` would be 1. */
export function typedValue(key: string, words: readonly string[]): string | undefined {
  const names = [flagName(key), `--${key}`];
  for (const [at, word] of words.entries()) {
    if (word === "--") return undefined;
    if (names.includes(word)) return words[at + 1];
    const name = names.find((one) => word.startsWith(`${one}=`));
    if (name !== undefined) return word.slice(name.length + 1);
  }
  return undefined;
}

/** `: did you mean serve?`, or nothing where no known word is near. */
export function nearest(word: string, known: readonly string[]): string {
  if (known.length === 0) return "";
  const candidate = closest(word, known);
  const far = distance(word, candidate);
  const near = far <= Math.max(2, word.length / 3) && far < word.length;
  return near ? `: did you mean ${candidate}?` : "";
}
