/**
 * `lite3rl export`: the words. What it does is in `export_checkpoint.ts`.
 */

import { basename, extname } from "node:path";
import * as v from "valibot";
import { CHECKPOINT_FLAGS } from "../cli/checkpoint_flags.ts";
import {
  defineCommand,
  integerValue,
  pathValue,
  sizesValue,
  switchValue,
  textValue,
  wordValue,
} from "../cli/command.ts";
import { figure, seconds } from "../cli/output.ts";
import { LIMITS } from "../base/limits.ts";
import { exportCheckpoint } from "./export_checkpoint.ts";

const sizeValue = v.optional(integerValue(1, LIMITS.vectorWidth));

export default defineCommand({
  name: "export",
  positionals: "<checkpoint>",
  summary: "Turn a checkpoint (.pt) into an ONNX file that acts the same",
  example: "export policy.pt --config actor.yaml --output build/policy.onnx",
  flags: {
    ...CHECKPOINT_FLAGS,
    output: {
      value: "<file>",
      help: "Where the ONNX goes (default: the checkpoint's name with .onnx, here)",
      schema: v.optional(pathValue()),
    },
    dynamicBatch: { help: "Symbolic batch dimension instead of 1", schema: switchValue() },
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
