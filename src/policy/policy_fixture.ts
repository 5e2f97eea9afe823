/**
 * For tests: the demo policy with its golden actions, and networks small enough to check by hand.
 */

import { join } from "node:path";
import { present } from "../base/assert.ts";
import { openFile } from "../base/files.ts";
import { readNpz } from "../formats/npz.ts";
import { type Tensor, toFloat32 } from "../formats/tensor.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { PolicyMetadata } from "./metadata.ts";
import type { Layer, LinearLayer, Network } from "./network.ts";
import { createNormalizer, type Normalizer, readObservationStats } from "./normalizer.ts";
import { readCheckpoint } from "./read_checkpoint.ts";
import { networkToOnnx } from "./to_onnx.ts";

const DEMO = join(import.meta.dir, "../../fixtures/demo_policy");

export const DEMO_POLICY = {
  checkpoint: join(DEMO, "policy.pt"),
  config: join(DEMO, "actor_config.yaml"),
  obsStats: join(DEMO, "obs_stats.npz"),
} as const;

export interface GoldenActions {
  readonly rows: number;
  /** As the robot has them, shape [rows, 45]. */
  readonly observations: Float32Array;
  /** As the network takes them. */
  readonly normalised: Float32Array;
  /** What torch computed, shape [rows, 12]. */
  readonly actions: Float32Array;
}

export async function readGoldenActions(): Promise<GoldenActions> {
  using source = openFile(join(DEMO, "golden.npz"));
  const arrays = await readNpz(source);
  const [obs, actions] = ["obs", "actions"].map((name) => present(arrays.get(name), name)) as [
    Tensor,
    Tensor,
  ];
  const observations = toFloat32(obs);
  const normalised = observations.slice();
  (await demoNormalizer()).apply(normalised);
  return { rows: present(obs.shape[0]), observations, normalised, actions: toFloat32(actions) };
}

export async function demoNormalizer(): Promise<Normalizer> {
  return createNormalizer(await readObservationStats(DEMO_POLICY.obsStats));
}

export async function demoNetwork(): Promise<Network> {
  return (await readCheckpoint(DEMO_POLICY.checkpoint, { activation: "elu" })).network;
}

export const METADATA: PolicyMetadata = {
  sourceDigest: "5eed",
  layout: "actor_critic",
  activation: "elu",
  normalizer: "none",
  toolVersion: "0.0.0",
};

/** The network as ONNX, without a normalizer unless `options` say otherwise. */
export function modelOf(
  network: Network,
  options: { readonly dynamicBatch?: boolean; readonly metadata?: Partial<PolicyMetadata> } = {},
): OnnxModel {
  return networkToOnnx(network, {
    outputName: "action",
    dynamicBatch: options.dynamicBatch ?? false,
    metadata: { ...METADATA, ...options.metadata },
  });
}

/** A Linear layer from its rows of weights. */
export function linear(
  name: string,
  rows: readonly (readonly number[])[],
  bias: readonly number[],
): LinearLayer {
  return {
    kind: "linear",
    name,
    inputs: present(rows[0]).length,
    outputs: rows.length,
    weight: Float32Array.from(rows.flat()),
    bias: Float32Array.from(bias),
  };
}

export function networkOf(...layers: Layer[]): Network {
  const linears = layers.filter((layer) => layer.kind === "linear");
  return {
    layers,
    observationSize: present(linears[0]).inputs,
    actionSize: present(linears.at(-1)).outputs,
  };
}

/** Two observations, an ELU layer of three, one action. */
export const TINY_NETWORK: Network = networkOf(
  linear(
    "actor.0",
    [
      [1, 2],
      [-1, 0.5],
      [0, 0],
    ],
    [0.5, -2, 1],
  ),
  { kind: "activation", activation: "elu" },
  linear("actor.2", [[2, 1, -0.25]], [0.125]),
);
