/**
 * `--show-config`: every flag and argument of a verb with its value and where that comes from.
 */

import * as v from "valibot";
import { plain } from "../base/text.ts";
import { type Command, type CommandResult } from "./command.ts";
import { table } from "./output.ts";
import { type Settings, settablesOf } from "./settings.ts";

interface Shown {
  readonly value: unknown;
  readonly origin: string;
}

/** The document and the table; nothing is run, and what is missing is shown as such. */
export function showConfig(command: Command, settings: Settings): CommandResult {
  const shown = Object.fromEntries(
    [...settablesOf(command)].map(([name, { key }]): [string, Shown] => {
      const { value, origin } = settings.get(key) ?? {};
      if (value !== undefined && origin !== undefined) return [name, { value, origin }];
      return [name, unsetValue(command, key, origin)];
    }),
  );
  const rows = Object.entries(shown).map(([name, { value, origin }]) => [
    name,
    value === null ? "-" : plain(String(value), 60),
    origin,
  ]);
  return {
    json: { verb: command.name, settings: shown },
    text: table([command.name, "value", "from"], rows),
  };
}

/** The schema's default, if it has one; null where the verb decides, or where a value is needed. */
function unsetValue(command: Command, key: string, origin = "default"): Shown {
  const schema = command.flags[key]?.schema;
  const isNeeded =
    schema === undefined
      ? command.positionals.includes(`<${key}>`)
      : !v.safeParse(schema, undefined).success;
  if (isNeeded) return { value: null, origin: "missing, needed" };
  const value = schema === undefined ? undefined : (v.getDefault(schema as never) as unknown);
  return { value: value ?? null, origin };
}
