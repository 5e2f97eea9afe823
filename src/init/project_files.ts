/**
 * The YAML files of a new project: `lite3rl.yaml`, with which the verbs run without flags, and the
 * actor's configuration in the blueprint's form.
 */

import type { Activation } from "../policy/activation.ts";
import type { ActorSizes } from "./actor_critic.ts";

/** Places in a project, relative to its directory. */
export const FILES = {
  settings: "lite3rl.yaml",
  config: "example_actor_config.yaml",
  checkpoint: "inputs/policy.pt",
  obsStats: "inputs/obs_stats.npz",
  pythonPolicy: "example_dummy_policy.py",
  typescriptPolicy: "example_dummy_policy.ts",
} as const;

/** `origin` says in a few words where the policy comes from. */
export function actorConfig(sizes: ActorSizes, activation: Activation, origin: string): string {
  return `# The actor in ${FILES.checkpoint}: ${origin}.
obs_dim: ${sizes.observationSize}
act_dim: ${sizes.actionSize}
hidden_sizes: [${sizes.hiddenSizes.join(", ")}]
activation: ${activation} # between the layers; a checkpoint does not hold it
`;
}

/** The built-in robot's widths. */
const LITE3 = { observationSize: 45, actionSize: 12 } as const;

export function projectSettings(sizes: ActorSizes, origin: string): string {
  const { observationSize, actionSize } = sizes;
  const fits = observationSize === LITE3.observationSize && actionSize === LITE3.actionSize;
  const env = fits
    ? "env: lite3 # the built-in robot; or yours: module.path:function, ./my_env.ts"
    : `# The built-in env is ${LITE3.observationSize} -> ${LITE3.actionSize}, this policy is ` +
      `${observationSize} -> ${actionSize}: name your own\n# env: module.path:function`;
  return `# What lite3rl's verbs do when a flag is not given; lite3rl VERB --show-config prints it.
# A section is a verb, its keys are the verb's flags and arguments; paths start at this file.
# Flags come first, then LITE3RL_<FLAG> and LITE3RL_<VERB>_<FLAG>, then this file.
# The policy: ${origin}.

# For every verb that has the flag:
model: build/policy.onnx # what serve and agent run
obs-stats: ${FILES.obsStats} # mean and std of the observations the policy was trained with
dataset: build/calib_obs.npy # the observations that convert and parity use
${env}

export: # inputs/policy.pt -> build/policy.onnx
  checkpoint: ${FILES.checkpoint}
  config: ${FILES.config} # sizes and activation of the actor
  normalizer: external # obs-stats stay beside the model; fold puts them into it for good
  output: build/policy.onnx

collect: # -> build/calib_obs.npy
  policy: build/policy.onnx # with --no-obs-stats also random, example_dummy_policy:RandomPolicy
  samples: 2048 # 1000 to 4000 are usual
  output: build/calib_obs.npy

convert: # build/policy.onnx -> build/policy.rknn
  onnx: build/policy.onnx
  target: rk3588
  # precision: auto # fp16 if nothing is said; w8a8, hybrid, or auto: the cheapest that passes
  output: build/policy.rknn

parity: # the model against the NPU's arithmetic, emulated
  a: build/policy.onnx
  b: emulated
  config: ${FILES.config} # for a side that is a checkpoint, such as ${FILES.checkpoint}

accept: # the NPU's file on the board, against the blueprint's limits
  model: build/policy.rknn

serve:
  socket: /tmp/lite3_policy.sock
  warmup: 16 # inferences before the first answer

agent:
  steps: 512 # about ten seconds at 50 Hz
`;
}
