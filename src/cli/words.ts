/**
 * The user's words before cac sees them: it would take some of them otherwise than they are meant.
 */

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
  return argv.map((argument) => switches.get(argument) ?? argument);
}
