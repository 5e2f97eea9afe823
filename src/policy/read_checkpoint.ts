/**
 * Checkpoint file → network: opens the container, finds the policy in it, and holds it against
 * what the configuration and the flags say. What nobody says is refused, not guessed.
 */

import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { openFile, sha256Source } from "../base/files.ts";
import { notice } from "../base/log.ts";
import { type Activation, parseActivation } from "./activation.ts";
import { openCheckpoint } from "./checkpoint_file.ts";
import { type ActorConfig, findConfig, readActorConfig } from "./config.ts";
import { detectLayout } from "./layouts/detect.ts";
import type { PolicyPlan } from "./layouts/plan.ts";
import { readPlan } from "./layouts/read_plan.ts";
import { type Layer, type Network, type NormalizeLayer, recurrentLayer } from "./network.ts";
import { readYaml } from "./yaml_file.ts";

export interface Checkpoint {
  /** Without the normalizer. */
  readonly network: Network;
  /** The checkpoint's own normalizer. */
  readonly normalizer: NormalizeLayer | undefined;
  readonly layout: string;
  readonly activation: Activation;
  /** SHA-256 of the file. */
  readonly digest: string;
}

/** What the user says; all of it may be left out where the checkpoint or a YAML says it. */
export interface CheckpointHints {
  /** Path of a YAML; one beside the checkpoint is found without. */
  readonly config?: string | undefined;
  readonly layout?: string | undefined;
  /** Prefix of the actor's keys. */
  readonly actor?: string | undefined;
  readonly activation?: Activation | undefined;
  readonly outputActivation?: Activation | undefined;
  readonly normalizerEpsilon?: number | undefined;
  /** The normalizer is not going to be used, so its eps need not be known. */
  readonly dropsNormalizer?: boolean;
  readonly distribution?: "gaussian" | "beta" | "none" | undefined;
  readonly observationSize?: number | undefined;
  readonly actionSize?: number | undefined;
  readonly hiddenSizes?: readonly number[] | undefined;
}

/** Reads a checkpoint; every refusal names the file, what was found and what is needed. */
export async function readCheckpoint(path: string, hints: CheckpointHints): Promise<Checkpoint> {
  using source = openFile(path);
  const config = chooseConfig(path, hints.config);
  const found = await describeSource("Cannot read checkpoint", path, async () => {
    const { root, file } = await openCheckpoint(source);
    const plan = detectLayout(root, hints);
    const activation = chooseActivation(path, hints.activation, config, plan);
    const layers = readPlan(file, plan, {
      activation,
      outputActivation: chooseOutput(path, agreedOutput(path, hints, config), plan),
      normalizerEpsilon: chooseEpsilon(
        hints.normalizerEpsilon,
        config,
        plan,
        hints.dropsNormalizer === true,
      ),
      distribution: hints.distribution,
    });
    return { ...layers, layout: plan.layout, activation };
  });
  const network = joinLayers(found.layers);
  checkNormalizer(path, network, found.normalizer);
  if (config?.isNormalized === false && found.normalizer !== undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot use config ${quote(config.path)}: it says that observations were not normalised, ` +
        `${quote(path)} has a normalizer; correct one of them`,
    );
  }
  for (const claim of claims(config, hints)) checkClaim(path, network, claim);
  return {
    network,
    normalizer: found.normalizer,
    layout: found.layout,
    activation: found.activation,
    digest: sha256Source(source),
  };
}

function chooseConfig(path: string, given: string | undefined): ActorConfig | undefined {
  if (given !== undefined) return readActorConfig(given);
  const beside = findConfig(path);
  if (beside === undefined || readYaml(beside) === null) return undefined;
  notice(`taking ${beside}, which stands beside the checkpoint`);
  return readActorConfig(beside);
}

/** What the flag or the YAML says of the last activation; both may only say the same. */
function agreedOutput(
  path: string,
  { outputActivation: flag }: CheckpointHints,
  config: ActorConfig | undefined,
): Activation | undefined {
  const said = config?.outputActivation;
  if (flag === undefined || said === undefined || flag === said) return flag ?? said;
  throw new Lite3Error(
    "CONFIG",
    `Cannot choose the last activation of ${quote(path)}: --output-activation says ${flag}, ` +
      `${quote(config?.path)} says ${said}; make them agree`,
  );
}

/** What follows the last layer: nothing, unless the layout or a flag says otherwise. */
function chooseOutput(path: string, flag: Activation | undefined, plan: PolicyPlan): Activation {
  if (plan.outputActivation === undefined) return flag ?? "identity";
  const fixed = parseActivation(plan.outputActivation, plan.layout);
  if (flag === undefined || flag === fixed) return fixed;
  throw new Lite3Error(
    "CONFIG",
    `Cannot use --output-activation ${flag}: ${quote(path)} has ${fixed} there, leave it out`,
  );
}

/**
 * The activation is in few checkpoints. Only the blueprint's own ActorCritic has a default, and
 * only its YAML tells that it is one: `actor.0.weight` alone may be legged_gym's or anybody's.
 */
function chooseActivation(
  path: string,
  flag: Activation | undefined,
  config: ActorConfig | undefined,
  plan: PolicyPlan,
): Activation {
  const inFile = plan.activation && parseActivation(plan.activation, quote(path));
  const said = [
    { activation: flag, by: "--activation" },
    { activation: config?.activation, by: quote(config?.path) },
    { activation: inFile, by: "the checkpoint" },
  ].filter(({ activation }) => activation !== undefined);
  const [first, ...others] = said;
  const contradiction = others.find(({ activation }) => activation !== first?.activation);
  if (first !== undefined && contradiction !== undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot choose the activation of ${quote(path)}: ${first.by} says ${first.activation}, ` +
        `${contradiction.by} says ${contradiction.activation}; make them agree`,
    );
  }
  if (first?.activation !== undefined) return first.activation as Activation;
  if (config?.isBlueprint !== true || plan.layout !== "actor_critic") {
    throw new Lite3Error(
      "CONFIG",
      `Cannot choose the activation of ${quote(path)}: a checkpoint does not hold it, ` +
        "need --config actor.yaml or --activation elu",
    );
  }
  notice(`${config.path} names no activation: taking elu, the default of this ActorCritic`);
  return "elu";
}

/** eps is in the training library's code: known if a YAML says that this library normalised. */
function chooseEpsilon(
  flag: number | undefined,
  config: ActorConfig | undefined,
  plan: PolicyPlan,
  isDropped: boolean,
): number | undefined {
  const { normalizer } = plan;
  if (normalizer?.isInFile === true) {
    if (flag === undefined || flag === normalizer.epsilon) return normalizer.epsilon;
    throw new Lite3Error(
      "CONFIG",
      `Cannot use --normalizer-eps ${flag}: the checkpoint says ${normalizer.epsilon}, leave it out`,
    );
  }
  if (flag !== undefined && normalizer === undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot use --normalizer-eps ${flag}: the checkpoint has no normalizer, leave it out`,
    );
  }
  if (flag !== undefined || normalizer === undefined) return flag;
  if (isDropped) return normalizer.epsilon;
  if (config?.library !== normalizer.library) return undefined;
  notice(`${config.path}: normalised by ${normalizer.library}, whose eps is ${normalizer.epsilon}`);
  return normalizer.epsilon;
}

function joinLayers(layers: readonly Layer[]): Network {
  const [first] = layers;
  const observationSize =
    first?.kind === "recurrent"
      ? (first.stack[0]?.inputs ?? 0)
      : (layers.find((layer) => layer.kind === "linear")?.inputs ?? 0);
  const sizes = layers.map((layer) => {
    if (layer.kind === "linear") return layer.outputs;
    return layer.kind === "distribution" ? layer.size : undefined;
  });
  const actionSize = sizes.findLast((size) => size !== undefined) ?? 0;
  return { layers, observationSize, actionSize };
}

function checkNormalizer(
  path: string,
  network: Network,
  normalizer: NormalizeLayer | undefined,
): void {
  if (normalizer === undefined || normalizer.mean.length === network.observationSize) return;
  throw new Lite3Error(
    "MALFORMED",
    `Cannot read checkpoint ${quote(path)}: its normalizer has ${normalizer.mean.length} values, ` +
      `its network takes ${network.observationSize}`,
  );
}

interface Claim {
  readonly by: string;
  readonly observationSize?: number | undefined;
  readonly actionSize?: number | undefined;
  readonly hiddenSizes?: readonly number[] | undefined;
  readonly rnnType?: string | undefined;
  readonly rnnHidden?: number | undefined;
  readonly rnnLayers?: number | undefined;
}

function claims(config: ActorConfig | undefined, hints: CheckpointHints): Claim[] {
  const flags = { ...hints, by: "the flags" };
  return config === undefined
    ? [flags]
    : [flags, { ...config, by: `config ${quote(config.path)}` }];
}

function checkClaim(path: string, network: Network, claim: Claim): void {
  const linear = network.layers.filter((layer) => layer.kind === "linear");
  const hidden = linear.slice(0, -1).map(({ outputs }) => outputs);
  const memory = recurrentLayer(network);
  const compared = {
    obs_dim: [network.observationSize, claim.observationSize],
    act_dim: [network.actionSize, claim.actionSize],
    hidden_sizes: [hidden, claim.hiddenSizes],
    rnn_type: [memory?.cell, memory && claim.rnnType?.toLowerCase()],
    rnn_hidden_dim: [memory?.hidden, memory && claim.rnnHidden],
    rnn_num_layers: [memory?.stack.length, memory && claim.rnnLayers],
  } as const;
  for (const [key, [weights, said]] of Object.entries(compared)) {
    if (said !== undefined && String(weights) !== String(said)) {
      throw new Lite3Error(
        "CONFIG",
        `Cannot use ${claim.by}: its ${key} is ${JSON.stringify(said)}, the weights of ` +
          `${quote(path)} have ${JSON.stringify(weights)}; correct one of them`,
      );
    }
  }
}
