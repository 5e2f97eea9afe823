/**
 * YAML that says what a checkpoint does not: the blueprint's actor config (`obs_dim`, `act_dim`,
 * `hidden_sizes`, `activation`) and the training configuration that rsl_rl, Isaac Lab and rl_games
 * leave beside their checkpoints. Where file and weights both speak they must agree.
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { distance } from "fastest-levenshtein";
import * as v from "valibot";
import { quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import { type Activation, parseActivation } from "./activation.ts";
import { checkYaml, readYaml } from "./yaml_file.ts";

const width = v.pipe(
  v.number(),
  v.integer("a whole number"),
  v.minValue(1),
  v.maxValue(LIMITS.vectorWidth),
);
const widths = v.optional(v.array(width));
const word = v.optional(v.string());

/** Isaac Lab writes what was not set as an empty mapping, or as null. */
function unset(value: unknown): unknown {
  const isEmpty = value instanceof Object && Object.keys(value).length === 0;
  return value === null || (isEmpty && !Array.isArray(value)) ? undefined : value;
}

const settable = <S extends v.GenericSchema>(schema: S) =>
  v.optional(v.pipe(v.unknown(), v.transform(unset), schema));
const toggle = settable(v.optional(v.boolean()));

/** The blueprint's own; only here an activation that is not named is ELU. */
const ActorYaml = v.looseObject({
  obs_dim: v.optional(width),
  act_dim: v.optional(width),
  hidden_sizes: widths,
  activation: word,
  output_activation: word,
});

/** Only compared with a recurrent network: the keys have defaults in others too. */
const memory = {
  rnn_type: settable(word),
  rnn_hidden_dim: settable(v.optional(width)),
  rnn_hidden_size: settable(v.optional(width)),
  rnn_num_layers: settable(v.optional(width)),
};

/** rsl_rl up to 3 (`policy`), from 4 on (`actor`), with Isaac Lab's spellings. */
const RslRlYaml = v.looseObject({
  policy: settable(
    v.optional(
      v.looseObject({
        activation: settable(word),
        actor_hidden_dims: settable(widths),
        ...memory,
        actor_obs_normalization: toggle,
      }),
    ),
  ),
  actor: settable(
    v.optional(
      v.looseObject({
        activation: settable(word),
        hidden_dims: settable(widths),
        ...memory,
        obs_normalization: toggle,
      }),
    ),
  ),
  empirical_normalization: toggle,
});

const RlGamesYaml = v.looseObject({
  params: v.looseObject({
    network: v.looseObject({
      mlp: v.looseObject({ units: widths, activation: word }),
    }),
  }),
});

export interface ActorConfig {
  readonly path: string;
  /** Is it the blueprint's actor config, whose activation is ELU unless it says otherwise? */
  readonly isBlueprint: boolean;
  readonly observationSize?: number | undefined;
  readonly actionSize?: number | undefined;
  readonly hiddenSizes?: readonly number[] | undefined;
  readonly activation?: Activation | undefined;
  readonly outputActivation?: Activation | undefined;
  /** Kind, width and layers of an RNN, where the network has one. */
  readonly rnnType?: string | undefined;
  readonly rnnHidden?: number | undefined;
  readonly rnnLayers?: number | undefined;
  /** Were observations normalised in training? */
  readonly isNormalized?: boolean | undefined;
  /** The library that trained with a normalizer whose eps is in its code. */
  readonly library?: "rsl_rl" | "rl_games" | undefined;
}

/** Where a training run leaves its configuration, seen from the checkpoint. */
const NEIGHBOURS = ["agent.yaml", "params/agent.yaml"];

/** The configuration beside a checkpoint, if there is one. */
export function findConfig(checkpoint: string): string | undefined {
  const paths = NEIGHBOURS.map((name) => join(dirname(checkpoint), name));
  return paths.find((path) => existsSync(path));
}

/** Reads and checks the YAML; an unknown key that resembles a known one gets a warning. */
export function readActorConfig(path: string): ActorConfig {
  const value = readYaml(path);
  const keys = value instanceof Object ? Object.keys(value) : [];
  if (keys.includes("params")) return readRlGames(path, value);
  if (keys.includes("policy") || keys.includes("actor")) return readRslRl(path, value);
  const yaml = checkYaml(path, ActorYaml, value);
  const { obs_dim, act_dim, hidden_sizes, activation, output_activation, ...rest } = yaml;
  for (const key of Object.keys(rest)) {
    const known = Object.keys(ActorYaml.entries).find((name) => distance(name, key) <= 2);
    if (known !== undefined) warn(`${path}: ${quote(key)} is not read, did you mean ${known}?`);
  }
  return {
    path,
    isBlueprint: true,
    observationSize: obs_dim,
    actionSize: act_dim,
    hiddenSizes: hidden_sizes,
    activation: named(path, activation),
    outputActivation: named(path, output_activation),
  };
}

function readRslRl(path: string, value: unknown): ActorConfig {
  const { policy, actor, empirical_normalization } = checkYaml(path, RslRlYaml, value);
  const isNormalized =
    actor?.obs_normalization ?? policy?.actor_obs_normalization ?? empirical_normalization;
  const model = actor ?? policy;
  return {
    path,
    isBlueprint: false,
    hiddenSizes: actor?.hidden_dims ?? policy?.actor_hidden_dims,
    activation: named(path, actor?.activation ?? policy?.activation),
    rnnType: model?.rnn_type,
    rnnHidden: model?.rnn_hidden_dim ?? model?.rnn_hidden_size,
    rnnLayers: model?.rnn_num_layers,
    isNormalized,
    library: isNormalized === true ? "rsl_rl" : undefined,
  };
}

function readRlGames(path: string, value: unknown): ActorConfig {
  const { mlp } = checkYaml(path, RlGamesYaml, value).params.network;
  const activation = named(path, mlp.activation);
  return { path, isBlueprint: false, hiddenSizes: mlp.units, activation, library: "rl_games" };
}

function named(path: string, activation: string | undefined): Activation | undefined {
  return activation === undefined ? undefined : parseActivation(activation, quote(path));
}
