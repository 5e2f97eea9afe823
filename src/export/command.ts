/**
 * `lite3rl export`: the words. What it does is in `export_checkpoint.ts`.
 */

import { basename, extname } from "node:path";
import * as v from "valibot";
import {
  defineCommand,
  integerValue,
  numberValue,
  pathValue,
  sizesValue,
  switchValue,
  textValue,
  wordValue,
} from "../cli/command.ts";
import { figure, seconds } from "../cli/output.ts";
import { LIMITS } from "../base/limits.ts";
import { LAYOUT_NAMES } from "../policy/layouts/detect.ts";
import { exportCheckpoint } from "./export_checkpoint.ts";

const sizeValue = v.optional(integerValue(1, LIMITS.vectorWidth));

export default defineCommand({
  name: "export",
  positionals: "<checkpoint>",
  summary: "Turn a checkpoint (.pt) into an ONNX file that acts the same",
  example: "export policy.pt --config actor.yaml --output build/policy.onnx",
  flags: {
    config: {
      value: "<yaml>",
      help: "obs_dim, act_dim, hidden_sizes and activation of the actor",
      schema: v.optional(pathValue()),
    },
    output: {
      value: "<file>",
      help: "Where the ONNX goes (default: the checkpoint's name with .onnx, here)",
      schema: v.optional(pathValue()),
    },
    dynamicBatch: { help: "Symbolic batch dimension instead of 1", schema: switchValue() },
    activation: {
      value: "<name>",
      help: "Activation between the layers, where no --config says it",
      schema: v.optional(textValue("an activation")),
    },
    outputName: {
      value: "<name>",
      help: "Name of the output tensor (default: action)",
      schema: v.optional(v.pipe(textValue("a name"), v.nonEmpty("needs a name")), "action"),
    },
    obsStats: {
      value: "<npz>",
      help: "mean and std that the policy was trained with",
      schema: v.optional(pathValue()),
    },
    normalizer: {
      value: "<how>",
      help: "fold it in, external, or drop the checkpoint's (default: fold)",
      schema: v.optional(wordValue(["fold", "external", "drop"])),
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
    obsDim: { value: "<n>", help: "Width that the observation must have", schema: sizeValue },
    actDim: { value: "<n>", help: "Width that the action must have", schema: sizeValue },
    hiddenSizes: {
      value: "<a,b,c>",
      help: "Widths that the hidden layers must have",
      schema: v.optional(sizesValue()),
    },
    check: {
      help: "Write without running the file in ONNX Runtime",
      isOnByDefault: true,
      schema: v.optional(v.boolean(), true),
    },
  },
  async run([checkpoint = ""], flags) {
    const output = flags.output ?? `${basename(checkpoint, extname(checkpoint))}.onnx`;
    const result = await exportCheckpoint({
      ...flags,
      checkpoint,
      output,
      normalizerEpsilon: flags.normalizerEps,
      observationSize: flags.obsDim,
      actionSize: flags.actDim,
    });
    const { check } = result;
    const checked =
      check === null
        ? "not checked"
        : `largest difference ${figure(check.max)} over ${check.samples} observations ` +
          `(at most ${figure(check.tolerance)})`;
    return {
      json: result,
      text:
        `${output}: ${result.widths}, ${result.parameters} parameters, ${result.activation}, ` +
        `normalizer ${result.normalizer}; ${checked}; ${seconds(result.seconds)}`,
    };
  },
});
