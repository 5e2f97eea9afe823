/**
 * Which layout is this checkpoint? By its keys, unless `--layout` says it.
 */

import { FormatError, Lite3Error, quote } from "../../base/errors.ts";
import { ACTOR_CRITIC } from "./actor_critic.ts";
import type { Layout, PolicyPlan } from "./plan.ts";
import { RL_GAMES } from "./rl_games.ts";
import { RSL_RL } from "./rsl_rl.ts";
import { RSL_RL_LEGACY } from "./rsl_rl_legacy.ts";
import { SB3 } from "./sb3.ts";
import { asStateDict, describeKeys, isUnder } from "./state_dict.ts";
import { describeScript, TORCHSCRIPT } from "./torchscript.ts";

/** The particular ones first: the last takes whatever has an actor. */
const LAYOUTS: readonly Layout[] = [
  TORCHSCRIPT,
  SB3,
  RSL_RL,
  RSL_RL_LEGACY,
  RL_GAMES,
  ACTOR_CRITIC,
];

export const LAYOUT_NAMES: readonly string[] = LAYOUTS.map(({ name }) => name);

/** Finds the policy in a checkpoint's root. Throws UNSUPPORTED listing what there is and is not. */
export function detectLayout(
  root: unknown,
  { layout: wanted, actor }: { layout?: string | undefined; actor?: string | undefined },
): PolicyPlan {
  const candidates = LAYOUTS.filter(({ name }) => wanted === undefined || name === wanted);
  if (candidates.length === 0) {
    throw new Lite3Error(
      "USAGE",
      `--layout ${quote(wanted)} is not known, need one of ${LAYOUT_NAMES.join(", ")}`,
    );
  }
  for (const layout of candidates) {
    const plan = layout.plan(root, actor);
    if (plan !== undefined && (actor === undefined || isNamed(plan, actor))) return plan;
  }
  const needs = candidates.map(({ name, wants }) => `${name}: ${wants}`).join("; ");
  const found = `it holds ${describeRoot(root)}`;
  throw new FormatError(
    actor === undefined
      ? `${found}, which is no layout known (${needs})`
      : `${found}, in which --actor ${quote(actor)} names no policy (${needs})`,
    "UNSUPPORTED",
  );
}

/** Is `--actor` what the layout found? Then it may stay; otherwise another layout has to find it. */
function isNamed({ parts }: PolicyPlan, actor: string): boolean {
  return parts.some((part) => isUnder(part, actor) || isUnder(actor, part));
}

/** The keys of a root, one level into what is nested. */
function describeRoot(root: unknown): string {
  if (!(root instanceof Map)) {
    const script = describeScript(root);
    if (script !== undefined) return script;
    const opaque = (root as { global?: string } | null)?.global;
    return opaque === undefined
      ? "no dictionary"
      : `a pickled object of ${opaque} (save its state_dict() instead)`;
  }
  const state = asStateDict(root);
  if (state !== undefined) return describeKeys(state);
  const keys = [...root].slice(0, 8).map(([key, value]) => {
    const inner = asStateDict(value);
    return inner === undefined ? quote(key) : `${quote(key)} (${describeKeys(inner)})`;
  });
  return keys.length === 0 ? "an empty dictionary" : `the keys ${keys.join(", ")}`;
}
