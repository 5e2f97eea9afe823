/**
 * From what a user writes after `--env` to an environment: `lite3`, `lite3:terrain=flat` or
 * `lite3:terrain=step,height=0.1`.
 */

import { closest } from "fastest-levenshtein";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { createLite3 } from "./lite3.ts";
import type { Lite3, Lite3Options } from "./lite3.ts";
import type { Terrain } from "./lite3_model.ts";

/** The rest of an environment's options, which have flags of their own. */
export type EnvironmentOptions = Partial<Omit<Lite3Options, "terrain">>;

const ENVIRONMENTS = ["lite3"] as const;
const KEYS = ["terrain", "height"] as const;
const TERRAINS = ["flat", "step"] as const;

/** `package.module:function`, a Python environment factory; or a file of program text. */
const PYTHON_FACTORY = /^[A-Za-z_]\w*(\.\w+)*:[A-Za-z_]\w*$/;
const PROGRAM_FILE = /\.(py|ts|js|mjs)(:\w+)?$/;

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
 * Opens the environment `spec` names. Throws USAGE for a spec that means nothing, UNSUPPORTED for
 * kinds of environment this version does not have.
 */
export async function openEnvironment(
  spec: string,
  options: EnvironmentOptions = {},
): Promise<Lite3> {
  const terrain = parseEnvironmentSpec(spec);
  return createLite3({ ...options, terrain });
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
  if (PYTHON_FACTORY.test(spec) || PROGRAM_FILE.test(spec)) {
    return new Lite3Error(
      "UNSUPPORTED",
      `Cannot open environment ${quote(spec)}: environments from a user's program are not ` +
        `supported by this version, need a built-in one; use --env lite3`,
    );
  }
  return unusable(spec, `no environment ${quote(name)}, ${known}${nearest(name, ENVIRONMENTS)}`);
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
