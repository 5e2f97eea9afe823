/**
 * `lite3rl export`: the words. What it does is in `export_checkpoint.ts`.
 */

import { basename, extname } from "node:path";
import * as v from "valibot";
import { defineCommand, pathValue, switchValue, textValue, wordValue } from "../cli/command.ts";
import { figure, seconds } from "../cli/output.ts";
import { exportCheckpoint } from "./export_checkpoint.ts";

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
      help: "What becomes of --obs-stats: fold it in, or leave it external (default: fold)",
      schema: v.optional(wordValue(["fold", "external"])),
    },
    check: {
      help: "Write without running the file in ONNX Runtime",
      isOnByDefault: true,
      schema: v.optional(v.boolean(), true),
    },
  },
  async run([checkpoint = ""], flags) {
    const output = flags.output ?? `${basename(checkpoint, extname(checkpoint))}.onnx`;
    const result = await exportCheckpoint({ ...flags, checkpoint, output });
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
