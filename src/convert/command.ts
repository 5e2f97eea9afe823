/**
 * `lite3rl convert`: the words. What it does is in `convert.ts`.
 */

import { extname } from "node:path";
import * as v from "valibot";
import {
  defineCommand,
  durationValue,
  integerValue,
  numberValue,
  pathValue,
  switchValue,
  textValue,
  wordValue,
} from "../cli/command.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import {
  CLOSED_LOOP_MAE,
  CLOSED_LOOP_FLAGS,
  planClosedLoop,
  unusedOfClosedLoop,
} from "../closed_loop/plan.ts";
import { convert } from "./convert.ts";
import { ALGORITHMS, METHODS, PRECISIONS } from "./precision.ts";
import { conversionDocument, failureOf, renderConversion } from "./report.ts";
import { RK3588, TARGETS } from "../rknn_toolkit/target.ts";

export default defineCommand({
  name: "convert",
  positionals: "<onnx>",
  summary: "Turn an ONNX policy into a .rknn for the NPU that is proven to act the same",
  example: "convert build/policy.onnx --dataset build/calib_obs.npy --output build/policy.rknn",
  flags: {
    dataset: {
      value: "<npy|npz|mcap>",
      help: "Observations [rows, N] before any normalizer; four fifths calibrate, a fifth judges",
      schema: v.optional(pathValue()),
    },
    output: {
      value: "<file>",
      help: "Where the .rknn goes (default: beside the ONNX)",
      schema: v.optional(pathValue()),
    },
    target: {
      value: "<soc>",
      help: `Platform (default: ${RK3588}, the only one that was tried)`,
      schema: v.optional(wordValue(TARGETS), RK3588),
    },
    precision: {
      value: "<name>",
      help: "fp16, w8a8, hybrid, or auto: the cheapest that passes (default: fp16)",
      schema: v.optional(wordValue(PRECISIONS)),
    },
    doQuant: { help: "The same as --precision w8a8", schema: switchValue() },
    quantDtype: {
      value: "<name>",
      help: "w8a8, or what older toolkits called it",
      schema: v.optional(textValue("a dtype such as w8a8")),
    },
    algorithm: {
      value: "<name>",
      help: "How int8 ranges are found: normal, mmse, kl_divergence (default: normal)",
      schema: v.optional(wordValue(ALGORITHMS)),
    },
    method: {
      value: "<name>",
      help: "One scale of weights per channel or per layer (default: channel)",
      schema: v.optional(wordValue(METHODS)),
    },
    layers: {
      value: "<name=fp16,…>",
      help: "hybrid: layers that stay float16 (default: the most sensitive ones)",
      schema: v.optional(textValue("layers such as actor.0=fp16")),
    },
    obsStats: {
      value: "<npz>",
      help: "mean and std that belong before the network; applied to the set, once",
      schema: v.optional(pathValue()),
    },
    mae: {
      value: "<limit>",
      help:
        `Mean absolute error that still passes (default: ${MAE_GATE}; ` +
        `with --closed-loop ${CLOSED_LOOP_MAE})`,
      schema: v.optional(numberValue(0, 1e6)),
    },
    closedLoop: {
      help: "What is made must also walk as well as the policy, in the built-in environment",
      schema: switchValue(),
    },
    ...CLOSED_LOOP_FLAGS,
    seed: {
      value: "<n>",
      help: "Seed of the rows that judge, and of generated ones (default: 0)",
      schema: v.optional(integerValue(0, 2 ** 31 - 1), 0),
    },
    toolkit: {
      value: "<version>",
      help: "Version of rknn-toolkit2 (default: the newest installed)",
      schema: v.optional(textValue("a version such as 2.5.0")),
    },
    timeout: {
      value: "<time>",
      help: "Longest that one run of the toolkit may take (default: 10m)",
      schema: v.optional(durationValue(), "10m"),
    },
    emitOnnx: {
      value: "<file>",
      help: "Write the emulation too, as ONNX with its rounding and scales",
      schema: v.optional(pathValue()),
    },
    emulate: {
      help: "Judge by emulation, without the toolkit; no .rknn is written",
      schema: switchValue(),
    },
    force: {
      help: "Keep a file that does not pass under its name, marked so in its record",
      schema: switchValue(),
    },
  },
  unused: (_positionals, valueOf) => unusedOfClosedLoop(valueOf),
  async run([model = ""], flags) {
    const beside = `${model.slice(0, model.length - extname(model).length)}.rknn`;
    const { timeout, output = beside, ...rest } = flags;
    const closedLoop = planClosedLoop(flags);
    const { mae = closedLoop === undefined ? MAE_GATE : CLOSED_LOOP_MAE } = flags;
    const options = { ...rest, mae, closedLoop, model, output, timeoutMs: timeout * 1000 };
    const result = await convert(options);
    const { missing } = result;
    const reasons = [missing?.message, failureOf(result)].filter((one) => one !== undefined);
    const failure = reasons.length === 0 ? undefined : reasons.join("; and by emulation: ");
    return {
      json: conversionDocument(result),
      text: renderConversion(result),
      ...(missing === undefined ? {} : { failureCode: missing.code }),
      ...(failure === undefined ? {} : { failure }),
    };
  },
});
