/**
 * The actor's YAML of the blueprint (`obs_dim`, `act_dim`, `hidden_sizes`, `activation`): what a
 * checkpoint does not say, or says again. Where both speak they must agree.
 */

import { distance } from "fastest-levenshtein";
import * as v from "valibot";
import { parse } from "yaml";
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import { type Activation, parseActivation } from "./activation.ts";

const width = v.pipe(
  v.number(),
  v.integer("a whole number"),
  v.minValue(1),
  v.maxValue(LIMITS.vectorWidth),
);

const ActorYaml = v.looseObject({
  obs_dim: v.optional(width),
  act_dim: v.optional(width),
  hidden_sizes: v.optional(v.array(width)),
  activation: v.optional(v.string()),
});

export interface ActorConfig {
  readonly path: string;
  readonly observationSize?: number | undefined;
  readonly actionSize?: number | undefined;
  readonly hiddenSizes?: readonly number[] | undefined;
  readonly activation?: Activation | undefined;
}

/** Reads and checks the YAML; an unknown key that resembles a known one gets a warning. */
export function readActorConfig(path: string): ActorConfig {
  const text = new TextDecoder().decode(readFile(path, LIMITS.configBytes));
  const refuse = (reason: string): Lite3Error =>
    new Lite3Error("CONFIG", `Cannot use config ${quote(path)}: ${reason}`);
  let value: unknown;
  try {
    value = parse(text, { maxAliasCount: 100, logLevel: "error" });
  } catch (error) {
    // A syntax error, or an alias without an anchor or with too many: the first line says where.
    throw refuse((error as Error).message.split("\n")[0]?.replace(/:$/, "") ?? "not YAML");
  }
  if (Array.isArray(value)) throw refuse("the document is a list, need Object");
  const checked = v.safeParse(ActorYaml, value);
  if (!checked.success) {
    const [issue] = checked.issues;
    const at = v.getDotPath(issue) ?? "the document";
    throw refuse(`${at} is ${issue.received}, need ${issue.expected ?? issue.message}`);
  }
  const { obs_dim, act_dim, hidden_sizes, activation, ...rest } = checked.output;
  for (const key of Object.keys(rest)) {
    const known = Object.keys(ActorYaml.entries).find((name) => distance(name, key) <= 2);
    if (known !== undefined) warn(`${path}: ${quote(key)} is not read, did you mean ${known}?`);
  }
  return {
    path,
    observationSize: obs_dim,
    actionSize: act_dim,
    hiddenSizes: hidden_sizes,
    activation: activation === undefined ? undefined : parseActivation(activation, quote(path)),
  };
}
