/**
 * From what a user writes after `--env` to an environment: `lite3`, `lite3:terrain=flat` or
 * `lite3:terrain=step,height=0.1`; or one of the user's own, `module.path:function` in Python,
 * `./my_env.ts` in this process.
 */

import { closest } from "fastest-levenshtein";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import type { Environment } from "./environment.ts";
import { type Command, createLite3, type Lite3Options } from "./lite3.ts";
import type { Terrain } from "./lite3_model.ts";
import { openModuleEnvironment } from "./module.ts";
import { parseProgram, PROGRAM_DEFAULTS, type ProgramOptions } from "./program.ts";
import { openPythonEnvironment } from "./python.ts";

/** What the flags say, beside `--env`; absent where the user did not say it. */
export interface EnvironmentOptions {
  readonly start?: Lite3Options["start"] | undefined;
  readonly rateHz?: number | undefined;
  readonly command?: Command | undefined;
  readonly seed?: number;
  readonly program?: ProgramOptions;
}

const ENVIRONMENTS = ["lite3"] as const;
const KEYS = ["terrain", "height"] as const;
const TERRAINS = ["flat", "step"] as const;

const specSchema = v.strictObject(
  {
    terrain: v.optional(
      v.picklist(TERRAINS, ({ received, input }) => {
        return `terrain is ${received}, need ${TERRAINS.join(" or ")}${nearest(input, TERRAINS)}`;
      }),
      "flat",
    ),
    height: v.optional(
      v.pipe(
        v.string(),
        v.regex(/^\d*\.?\d+$/, ({ received }) => {
          return `height is ${received}, need metres, such as height=0.1`;
        }),
        v.transform(Number),
      ),
    ),
  },
  ({ input }) => {
    return `unknown key ${quote(input)}, known are ${KEYS.join(" and ")}${nearest(input, KEYS)}`;
  },
);

/**
 * Opens the environment `spec` names. Throws USAGE for a spec that means nothing or an option that
 * the environment does not take, and PROGRAM where one of the user's own fails.
 */
export async function openEnvironment(
  spec: string,
  options: EnvironmentOptions = {},
): Promise<Environment> {
  const { start, rateHz, command, seed = 0, program = PROGRAM_DEFAULTS } = options;
  const found = isBuiltIn(spec) ? undefined : parseProgram(spec);
  if (found === undefined) {
    const terrain = parseEnvironmentSpec(spec);
    return createLite3({
      terrain,
      ...(start === undefined ? {} : { start }),
      ...(rateHz === undefined ? {} : { rateHz }),
      ...(command === undefined ? {} : { command }),
    });
  }
  if (start !== undefined) {
    throw unusable(spec, `--start is for ${ENVIRONMENTS.join(", ")}, leave it out`);
  }
  const own = { ...program, rateHz, seed };
  const environment =
    found.kind === "python"
      ? await openPythonEnvironment(spec, found, own)
      : await openModuleEnvironment(spec, found, own);
  try {
    if (command === undefined) return environment;
    if (environment.setCommand === undefined) {
      throw unusable(
        spec,
        "it takes no --command, need set_command in Python or setCommand in TypeScript",
      );
    }
    await environment.setCommand(command);
    return environment;
  } catch (error) {
    environment[Symbol.dispose]();
    throw error;
  }
}

/** Is it an environment of this program, and not one of the user's? */
export function isBuiltIn(spec: string): boolean {
  return ENVIRONMENTS.some((name) => spec === name || spec.startsWith(`${name}:`));
}

/** The terrain of a built-in environment, of those it has; undefined for one of the user's. */
export function terrainsOf(
  spec: string,
): { readonly covered: readonly string[]; readonly of: readonly string[] } | undefined {
  if (!isBuiltIn(spec)) return undefined;
  return { covered: [parseEnvironmentSpec(spec).kind], of: TERRAINS };
}

/** The checking half of `openEnvironment`, which loads nothing. */
export function parseEnvironmentSpec(spec: string): Terrain {
  const [name, settings] = splitOnce(spec, ":");
  if (name !== "lite3") throw notOurs(spec, name);
  const result = v.safeParse(specSchema, splitSettings(spec, settings));
  if (!result.success) throw unusable(spec, result.issues[0].message);
  const { terrain, height } = result.output;
  if (terrain === "flat") {
    if (height === undefined) return { kind: "flat" };
    throw unusable(spec, `height is for terrain=step, and terrain is "flat"; add terrain=step`);
  }
  if (height !== undefined) return { kind: "step", heightM: height };
  throw unusable(spec, `terrain=step has no height, need one in metres; add height=0.1`);
}

/** The error for a name that is not in `ENVIRONMENTS`. */
function notOurs(spec: string, name: string): Lite3Error {
  const known = `known: ${ENVIRONMENTS.join(", ")}`;
  const own = "your own is module.path:function or ./my_env.ts";
  return unusable(
    spec,
    `no environment ${quote(name)}, ${known}; ${own}${nearest(name, ENVIRONMENTS)}`,
  );
}

function splitSettings(spec: string, settings: string | undefined): Record<string, string> {
  if (settings === undefined) return {};
  const pairs = new Map<string, string>();
  for (const pair of settings.split(",")) {
    const [key, value] = splitOnce(pair, "=");
    if (value === undefined) {
      throw unusable(spec, `${quote(pair)} is no setting, need key=value, such as terrain=step`);
    }
    if (pairs.has(key)) throw unusable(spec, `${quote(key)} is there twice, need it once`);
    pairs.set(key, value);
  }
  return Object.fromEntries(pairs);
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}

function nearest(found: unknown, known: readonly string[]): string {
  return `; did you mean ${quote(closest(String(found), known))}?`;
}

function unusable(spec: string, reason: string): Lite3Error {
  return new Lite3Error("USAGE", `Cannot open environment ${quote(spec)}: ${reason}`);
}
