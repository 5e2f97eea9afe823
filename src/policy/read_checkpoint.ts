/**
 * Checkpoint file → network: opens the container, reads the layout, and holds it against what the
 * configuration says.
 */

import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { openFile, sha256Source } from "../base/files.ts";
import { notice } from "../base/log.ts";
import { readTorch } from "../formats/torch.ts";
import type { Activation } from "./activation.ts";
import type { ActorConfig } from "./config.ts";
import { ACTOR_CRITIC, findStateDict, readActorCritic } from "./layouts/actor_critic.ts";
import type { Layer, LinearLayer, Network } from "./network.ts";

export interface Checkpoint {
  readonly network: Network;
  readonly layout: string;
  readonly activation: Activation;
  /** SHA-256 of the file. */
  readonly digest: string;
}

export interface CheckpointHints {
  readonly config?: ActorConfig | undefined;
  /** `--activation`, which settles what the configuration leaves open. */
  readonly activation?: Activation | undefined;
}

/** Reads a checkpoint; every refusal names the file, what was found and what is needed. */
export async function readCheckpoint(path: string, hints: CheckpointHints): Promise<Checkpoint> {
  using source = openFile(path);
  const activation = chooseActivation(path, hints);
  const layers = await describeSource("Cannot read checkpoint", path, async () => {
    const file = await readTorch(source);
    return readActorCritic(file, findStateDict(file.root), activation);
  });
  const network = joinLayers(layers);
  if (hints.config !== undefined) checkConfig(path, network, hints.config);
  return { network, layout: ACTOR_CRITIC, activation, digest: sha256Source(source) };
}

/** The activation is not in a checkpoint; only the blueprint's own ActorCritic has a default. */
function chooseActivation(path: string, hints: CheckpointHints): Activation {
  const { activation, config } = hints;
  if (activation !== undefined && config?.activation !== undefined) {
    if (activation !== config.activation) {
      throw new Lite3Error(
        "CONFIG",
        `Cannot choose the activation of ${quote(path)}: --activation says ${activation}, ` +
          `${quote(config.path)} says ${config.activation}; make them agree`,
      );
    }
  }
  const chosen = activation ?? config?.activation;
  if (chosen !== undefined) return chosen;
  if (config === undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot choose the activation of ${quote(path)}: a checkpoint does not hold it, ` +
        "need --config actor.yaml or --activation elu",
    );
  }
  notice(`${config.path} names no activation: taking elu, the default of this ActorCritic`);
  return "elu";
}

function joinLayers(layers: readonly Layer[]): Network {
  const linear = linearLayers(layers);
  return {
    layers,
    observationSize: linear[0]?.inputs ?? 0,
    actionSize: linear.at(-1)?.outputs ?? 0,
  };
}

function linearLayers(layers: readonly Layer[]): LinearLayer[] {
  return layers.filter((layer) => layer.kind === "linear");
}

function checkConfig(path: string, network: Network, config: ActorConfig): void {
  const hidden = linearLayers(network.layers).slice(0, -1);
  const found = {
    obs_dim: [network.observationSize, config.observationSize],
    act_dim: [network.actionSize, config.actionSize],
    hidden_sizes: [hidden.map(({ outputs }) => outputs), config.hiddenSizes],
  } as const;
  for (const [key, [weights, yaml]] of Object.entries(found)) {
    if (yaml !== undefined && String(weights) !== String(yaml)) {
      throw new Lite3Error(
        "CONFIG",
        `Cannot use config ${quote(config.path)}: its ${key} is ${JSON.stringify(yaml)}, the ` +
          `weights of ${quote(path)} have ${JSON.stringify(weights)}; correct the YAML`,
      );
    }
  }
}
