/**
 * What would `export` do with this checkpoint? Tries it, without writing: with what the file and a
 * YAML beside it say, and where that is not enough with the flags that supply the rest, so that the
 * command in the advice is one that was seen to work.
 */

import { Lite3Error } from "../base/errors.ts";
import { isQuiet, setQuiet } from "../base/log.ts";
import { type ActorConfig, findConfig, readActorConfig } from "../policy/config.ts";
import type { PolicyPlan } from "../policy/layouts/plan.ts";
import {
  type Checkpoint,
  type CheckpointHints,
  readCheckpoint,
} from "../policy/read_checkpoint.ts";
import { shellWord } from "../base/text.ts";
import { companions } from "./neighbours.ts";

/** A flag that the command has to have, since nothing else says it. */
export interface Need {
  readonly flag: string;
  readonly value: string;
  readonly why: string;
}

export interface ExportTrial {
  /** The command that works, if one does. */
  readonly command: string | null;
  readonly needs: readonly Need[];
  /** Why none does. */
  readonly refusal: string | null;
  /** Where the activation is known from. */
  readonly activationFrom: "checkpoint" | "config" | null;
  /** The YAML that was taken: named by the command, or found by export itself. */
  readonly config: string | null;
  readonly checkpoint: Checkpoint | null;
}

/** Stands in the command for the activation that nobody says: the most frequent one. */
const ACTIVATION = "elu";

/** `plan` is undefined where no layout was found, and then the refusal says why. */
export async function tryExport(path: string, plan: PolicyPlan | undefined): Promise<ExportTrial> {
  const wasQuiet = isQuiet();
  setQuiet(true);
  try {
    const first = await tryWith(path, plan, undefined);
    if (first.activationFrom !== null || plan === undefined) return first;
    for (const config of companions(path, [".yaml", ".yml"])) {
      if (!isActorConfig(readConfig(config))) continue;
      const trial = await tryWith(path, plan, config);
      if (trial.refusal === null && trial.activationFrom !== null) return trial;
    }
    return first;
  } finally {
    setQuiet(wasQuiet);
  }
}

/** Any YAML can be read as an actor config; only one that says something is. */
function isActorConfig(config: ActorConfig | undefined): boolean {
  return config?.activation !== undefined || config?.hiddenSizes !== undefined;
}

function readConfig(path: string | undefined): ActorConfig | undefined {
  try {
    return path === undefined ? undefined : readActorConfig(path);
  } catch (error) {
    if (error instanceof Lite3Error) return undefined;
    throw error;
  }
}

async function tryWith(
  path: string,
  plan: PolicyPlan | undefined,
  config: string | undefined,
): Promise<ExportTrial> {
  const taken = config ?? findConfig(path);
  const said = readConfig(taken);
  const activationFrom = sayer(plan, said);
  const needs = [
    ...(activationFrom === null && plan !== undefined ? [ACTIVATION_NEED] : []),
    ...epsilonNeed(plan, said),
  ];
  const plain = await attempt(path, config, needs);
  const result =
    plain.refusal !== null && plan?.isTwofold === true
      ? await attempt(path, config, [...needs, DISTRIBUTION_NEED])
      : plain;
  const best = result.refusal === null ? result : plain;
  const isKnown = plan === undefined && best.checkpoint !== null;
  return {
    ...best,
    activationFrom: isKnown ? "checkpoint" : activationFrom,
    config: taken ?? null,
  };
}

function sayer(plan: PolicyPlan | undefined, config: ActorConfig | undefined) {
  if (plan?.activation !== undefined) return "checkpoint";
  const hasDefault = config?.isBlueprint === true && plan?.layout === "actor_critic";
  return config?.activation !== undefined || hasDefault ? "config" : null;
}

const ACTIVATION_NEED: Need = {
  flag: "--activation",
  value: ACTIVATION,
  why: `the file does not say it: put what it was trained with in the place of ${ACTIVATION}`,
};

const DISTRIBUTION_NEED: Need = {
  flag: "--distribution",
  value: "gaussian",
  why:
    "the last layer may give two numbers per action and the file does not say of what: put " +
    "gaussian, beta or none",
};

function epsilonNeed(plan: PolicyPlan | undefined, config: ActorConfig | undefined): Need[] {
  const { normalizer } = plan ?? {};
  if (normalizer === undefined || normalizer.isInFile === true) return [];
  if (config?.library === normalizer.library) return [];
  const { library, epsilon } = normalizer;
  return [
    {
      flag: "--normalizer-eps",
      value: String(epsilon),
      why: `the file does not hold the normalizer's eps: ${epsilon} is ${library}'s own`,
    },
  ];
}

type Attempt = Pick<ExportTrial, "command" | "needs" | "refusal" | "checkpoint">;

async function attempt(
  path: string,
  config: string | undefined,
  needs: readonly Need[],
): Promise<Attempt> {
  const value = (flag: string): string | undefined =>
    needs.find((need) => need.flag === flag)?.value;
  const epsilon = value("--normalizer-eps");
  const hints: CheckpointHints = {
    config,
    activation: value("--activation") === undefined ? undefined : ACTIVATION,
    normalizerEpsilon: epsilon === undefined ? undefined : Number(epsilon),
    distribution: value("--distribution") === undefined ? undefined : "gaussian",
  };
  try {
    const checkpoint = await readCheckpoint(path, hints);
    return { command: commandFor(path, config, needs), needs, refusal: null, checkpoint };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return { command: null, needs, refusal: error.message, checkpoint: null };
  }
}

function commandFor(path: string, config: string | undefined, needs: readonly Need[]): string {
  const flags = needs.map(({ flag, value }) => `${flag} ${value}`);
  return [
    `lite3rl export ${shellWord(path)}`,
    ...(config === undefined ? [] : [`--config ${shellWord(config)}`]),
    ...flags,
  ].join(" ");
}
