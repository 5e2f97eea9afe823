/**
 * `lite3rl collect`: the words. What it does is in `collect.ts`.
 */

import * as v from "valibot";
import { Lite3Error } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import {
  defineCommand,
  integerValue,
  numberValue,
  pathValue,
  termsValue,
  textValue,
  wordValue,
} from "../cli/command.ts";
import { seconds } from "../cli/output.ts";
import { ENVIRONMENT_HELP, PROGRAM_FLAGS, programOptions } from "../cli/program_flags.ts";
import { collect, type CollectResult, STRATIFY_FROM } from "./collect.ts";
import { COMMAND_TERM } from "./commands.ts";
import { renderCoverage } from "./coverage.ts";
import { isModelFile } from "./policies.ts";

export default defineCommand({
  name: "collect",
  positionals: "[...sets]",
  summary: "Record observations of a policy in an environment as a calibration set",
  example:
    "collect --env lite3 --policy build/policy.onnx --samples 2048 --output build/calib_obs.npy",
  rivals: [
    ["sets", "env"],
    ["sets", "policy"],
    ["sets", "oversample"],
    ["sets", "start"],
    ["sets", "rate"],
    ["sets", "obsStats"],
  ],
  unused: (_positionals, valueOf) => {
    const policy = valueOf("policy");
    return typeof policy === "string" && !isModelFile(policy) ? ["obsStats"] : [];
  },
  flags: {
    env: {
      value: "<env>",
      help: ENVIRONMENT_HELP,
      schema: v.optional(textValue("an environment")),
    },
    policy: {
      value: "<policy>",
      help: "random, stand, an .onnx file, or yours: module.path:Class, ./my_policy.ts",
      schema: v.optional(textValue("a policy: random, stand, an .onnx file or a program")),
    },
    samples: {
      value: "<n>",
      help: "Observations to keep (default: 2048); of recorded sets, those that cover most",
      schema: v.optional(integerValue(1, 10_000_000), 2048),
    },
    oversample: {
      value: "<n>",
      help: "Record so many times --samples and keep those that cover most (default: 1)",
      schema: v.optional(integerValue(1, 64)),
    },
    stratify: {
      value: "<term>",
      help: `command: keep as many of each commanded velocity, of --oversample ${STRATIFY_FROM}`,
      schema: v.optional(wordValue([COMMAND_TERM])),
    },
    terms: {
      value: "<parts>",
      help: "Parts of the observation, such as gyro:3,command:3,joints:24",
      schema: v.optional(termsValue()),
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
      schema: v.optional(wordValue(["standing", "lying"])),
    },
    rate: {
      value: "<hz>",
      help: "Control rate (default: the environment's, or 50)",
      schema: v.optional(numberValue(10, 1000, "a rate in Hz")),
    },
    seed: {
      value: "<n>",
      help: "Seed of episodes, commands, random actions and choices (default: 0)",
      schema: v.optional(integerValue(0, 2 ** 30), 0),
    },
    ...PROGRAM_FLAGS,
  },
  async run(sets, { rate, env, python, envTimeout, traceback, ...flags }) {
    if (sets.length > 0) checkNoRollout({ env, rate, ...flags });
    const result = await collect({
      ...flags,
      sets,
      env: env ?? "lite3",
      rateHz: rate,
      program: programOptions({ python, envTimeout, traceback }),
    });
    return { json: result, text: `${renderCoverage(result.coverage)}\n\n${describe(result)}` };
  },
});

/** Recorded sets are what they are: flags of a rollout would be ignored, so they are refused. */
function checkNoRollout(flags: Readonly<Record<string, unknown>>): void {
  for (const name of ["env", "policy", "oversample", "start", "rate"]) {
    if (flags[name] === undefined) continue;
    throw new Lite3Error(
      "USAGE",
      `Cannot use --${name} with recorded sets: nothing is rolled out, leave it or the sets out`,
    );
  }
}

const percent = (share: number): string => `${Number((share * 100).toPrecision(2))} %`;

function describe(result: CollectResult): string {
  const { commands, terrains, sets, ranges, duplicates, samples, chosenFrom } = result;
  const lines: string[] = [];
  if (samples < result.requested) lines.push(`fewer than asked: ${samples} of ${result.requested}`);
  if (duplicates > 0) lines.push(`duplicates: ${duplicates} of ${samples}`);
  if (commands !== null) {
    const { covered, cells, standing } = commands;
    lines.push(`commands: ${covered} of ${cells} cells, standing ${percent(standing)}`);
  }
  if (terrains !== null) {
    lines.push(`terrains: ${terrains.covered.join(", ")}, of ${terrains.of.join(", ")}`);
  }
  const isPoor =
    duplicates > samples / 2 || result.coverage.some(({ constant, size }) => constant === size);
  const enough = isPoor ? "but of such a set that says little" : "so these are enough";
  const last = ranges.doublings.at(-1);
  if (ranges.enoughFrom !== null) {
    lines.push(`ranges: within 1 % from ${ranges.enoughFrom} samples on, ${enough}`);
  } else if (last !== undefined) {
    const { samples: from, next, growth, term } = last;
    lines.push(`ranges: from ${from} to ${next} samples ${term} still grew by ${percent(growth)}`);
  }
  const from =
    sets.length > 0
      ? `chosen from ${chosenFrom} in ${plural(sets.length, "set")}`
      : `from ${plural(result.episodes, "episode")} (${result.policy}, ${result.falls} falls)`;
  const chosen = sets.length === 0 && chosenFrom > samples ? `, chosen from ${chosenFrom}` : "";
  lines.push(
    `${result.output}: ${samples} observations of ${result.observationSize} numbers ` +
      `${from}${chosen}, ${seconds(result.seconds)}`,
  );
  if (result.obsStats !== null) lines.push(`${result.obsStats}: their mean and std`);
  return lines.join("\n");
}
