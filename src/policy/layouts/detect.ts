/**
 * Which layout is this checkpoint? By its keys, unless `--layout` says it.
 */

import { Lite3Error, quote } from "../../base/errors.ts";
import { ACTOR_CRITIC } from "./actor_critic.ts";
import { asDictionaries } from "./dictionary.ts";
import type { Layout, PolicyPlan } from "./plan.ts";
import { RL_GAMES } from "./rl_games.ts";
import { RSL_RL } from "./rsl_rl.ts";
import { RSL_RL_LEGACY } from "./rsl_rl_legacy.ts";
import { SB3 } from "./sb3.ts";
import { isUnder } from "./state_dict.ts";
import { TORCHSCRIPT } from "./torchscript.ts";
import { unknownLayout } from "./unknown.ts";

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
  const tree = asDictionaries(root);
  for (const layout of candidates) {
    const plan = layout.plan(tree, actor);
    if (plan !== undefined && (actor === undefined || isNamed(plan, actor))) return plan;
  }
  throw unknownLayout(tree, candidates, actor);
}

/** Is `--actor` what the layout found? Then it may stay; otherwise another layout has to find it. */
function isNamed({ parts }: PolicyPlan, actor: string): boolean {
  return parts.some((part) => isUnder(part, actor) || isUnder(actor, part));
}
