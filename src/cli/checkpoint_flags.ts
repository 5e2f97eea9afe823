/**
 * Flags of every verb that reads a checkpoint: `CheckpointWords` of policy/checkpoint_to_onnx.ts,
 * what a checkpoint itself may not say.
 */

import * as v from "valibot";
import { LAYOUT_NAMES } from "../policy/layouts/detect.ts";
import { type Flags, numberValue, pathValue, textValue, wordValue } from "./command.ts";

export const CHECKPOINT_FLAGS = {
  config: {
    value: "<yaml>",
    help: "obs_dim, act_dim, hidden_sizes and activation of the actor",
    schema: v.optional(pathValue()),
  },
  activation: {
    value: "<name>",
    help: "Activation between the layers, where no --config says it",
    schema: v.optional(textValue("an activation")),
  },
  normalizerEps: {
    value: "<eps>",
    help: "What the checkpoint's normalizer adds to its spread: rsl_rl 0.01, rl_games 1e-5",
    schema: v.optional(numberValue(0, 1)),
  },
  layout: {
    value: "<name>",
    help: `Where the weights come from, if the keys do not tell: ${LAYOUT_NAMES.join(", ")}`,
    schema: v.optional(textValue("a layout")),
  },
  actor: {
    value: "<prefix>",
    help: "Prefix of the actor's keys, where several networks could be it",
    schema: v.optional(textValue("a prefix of keys")),
  },
  outputActivation: {
    value: "<name>",
    help: "Activation after the last layer (default: none)",
    schema: v.optional(textValue("an activation")),
  },
  distribution: {
    value: "<name>",
    help: "gaussian, beta or none, where the last layer may give two numbers per action",
    schema: v.optional(wordValue(["gaussian", "beta", "none"])),
  },
} as const satisfies Flags;
