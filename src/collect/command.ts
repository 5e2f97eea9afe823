/**
 * `lite3rl collect`: the words. What it does is in `collect.ts`.
 */

import * as v from "valibot";
import {
  defineCommand,
  integerValue,
  numberValue,
  pathValue,
  textValue,
  wordValue,
} from "../cli/command.ts";
import { seconds } from "../cli/output.ts";
import { collect } from "./collect.ts";
import { renderCoverage } from "./coverage.ts";

export default defineCommand({
  name: "collect",
  positionals: "",
  summary: "Record observations of a policy in an environment as a calibration set",
  example:
    "collect --env lite3 --policy build/policy.onnx --samples 2048 --output build/calib_obs.npy",
  flags: {
    env: {
      value: "<env>",
      help: "lite3, or lite3:terrain=step,height=0.1 (default: lite3)",
      schema: v.optional(textValue("an environment"), "lite3"),
    },
    policy: {
      value: "<policy>",
      help: "random, stand, or an .onnx file",
      schema: textValue("a policy: random, stand or an .onnx file"),
    },
    samples: {
      value: "<n>",
      help: "Observations to keep (default: 2048)",
      schema: v.optional(integerValue(1, 10_000_000), 2048),
    },
    output: {
      value: "<npy>",
      help: "float32 [samples, N] (default: calib_obs.npy)",
      schema: v.optional(pathValue(), "calib_obs.npy"),
    },
    obsStats: {
      value: "<npz>",
      help: "The .onnx policy's mean and std; a missing file is written from the samples",
      schema: v.optional(pathValue()),
    },
    start: {
      value: "<how>",
      help: "standing or lying (default: standing)",
      schema: v.optional(wordValue(["standing", "lying"]), "standing"),
    },
    rate: {
      value: "<hz>",
      help: "Control rate (default: 50)",
      schema: v.optional(numberValue(10, 1000, "a rate in Hz"), 50),
    },
    seed: {
      value: "<n>",
      help: "Seed of episodes, commands and random actions (default: 0)",
      schema: v.optional(integerValue(0, 2 ** 30), 0),
    },
  },
  async run(_positionals, flags) {
    const result = await collect({ ...flags, rateHz: flags.rate });
    const written = result.obsStats === null ? "" : `\n${result.obsStats}: their mean and std`;
    return {
      json: result,
      text:
        `${renderCoverage(result.coverage)}\n\n${result.output}: ${result.samples} observations ` +
        `of ${result.observationSize} numbers from ${result.episodes} episodes ` +
        `(${result.policy}, ${result.falls} falls), ${seconds(result.seconds)}${written}`,
    };
  },
});
