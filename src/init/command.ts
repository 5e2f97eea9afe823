/**
 * `lite3rl init`: a directory with the blueprint's examples and a `lite3rl.yaml`, in which the
 * verbs run without flags. The policy is the built-in one, which walks, or a generated one.
 */

import { existsSync } from "node:fs";
import { join } from "node:path";
import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, sha256, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { shellWord } from "../base/text.ts";
import { defineCommand, integerValue, sizesValue, switchValue, textValue } from "../cli/command.ts";
import { table } from "../cli/output.ts";
import { type Activation, parseActivation } from "../policy/activation.ts";
import { DEMO_ACTOR, readDemoFile } from "../policy/demo_policy.ts";
import { findToolkit } from "../rknn_toolkit/environment.ts";
import { type ActorSizes, generateCheckpoint, generateObsStats } from "./actor_critic.ts";
import { pythonPolicy, typescriptPolicy } from "./example_policies.ts";
import { actorConfig, FILES, projectSettings } from "./project_files.ts";

const sizeValue = v.optional(integerValue(1, LIMITS.vectorWidth));

const WHAT: Readonly<Record<keyof typeof FILES, string>> = {
  checkpoint: "the policy",
  obsStats: "mean and std of its observations",
  config: "its sizes and its activation",
  pythonPolicy: "the form of a policy in Python",
  typescriptPolicy: "the form of a policy in TypeScript",
  settings: "what the verbs are told when a flag is not given",
};

export default defineCommand({
  name: "init",
  positionals: "[dir]",
  summary: "Make a project: the blueprint's examples, with which the verbs run without flags",
  example: "init my_policy",
  flags: {
    force: { help: "Write over files that are there", schema: switchValue() },
    random: {
      help: "Generate an untrained policy in the place of the built-in, as do the flags below",
      schema: switchValue(),
    },
    obsDim: { value: "<n>", help: "Width of its observation (default: 45)", schema: sizeValue },
    actDim: { value: "<n>", help: "Width of its action (default: 12)", schema: sizeValue },
    hiddenSizes: {
      value: "<a,b,c>",
      help: "Widths of its hidden layers (default: 256,128,64)",
      schema: v.optional(sizesValue()),
    },
    activation: {
      value: "<name>",
      help: "Its activation between the layers (default: elu)",
      schema: v.optional(textValue("an activation")),
    },
    seed: {
      value: "<n>",
      help: "Seed of its weights (default: 0)",
      schema: v.optional(integerValue(0, 2 ** 31 - 1)),
    },
  },
  async run([directory = "."], flags) {
    const places = Object.entries(FILES).map(([file, name]) => [file, join(directory, name)]);
    checkPlaces(directory, places.map(([, path]) => path) as string[], flags.force);
    const policy = await makePolicy(flags);
    const files = Object.keys(WHAT) as (keyof typeof FILES)[];
    const digests: Record<string, string> = {};
    for (const file of files) {
      const content = contentOf(file, policy);
      const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
      writeFileAtomic(join(directory, FILES[file]), bytes);
      digests[FILES[file]] = sha256(bytes);
    }
    const { origin, sizes, activation, isGenerated } = policy;
    const { observationSize, actionSize, hiddenSizes } = sizes;
    const widths = [observationSize, ...hiddenSizes, actionSize].join("-");
    const inside = directory === "." ? "" : `cd ${shellWord(directory)} && `;
    const install = findToolkit() === undefined ? "lite3rl toolkit install && " : "";
    return {
      json: {
        directory,
        policy: isGenerated ? "generated" : "built-in",
        ...sizes,
        activation,
        digests,
      },
      text: [
        table(
          ["file", "what it is"],
          files.map((file) => [FILES[file], WHAT[file]]),
        ),
        "",
        `${widths}, ${activation}: ${origin}`,
        `$ ${inside}lite3rl export && lite3rl collect && ${install}lite3rl convert`,
      ].join("\n"),
    };
  },
});

interface ProjectPolicy {
  readonly sizes: ActorSizes;
  readonly activation: Activation;
  readonly origin: string;
  readonly isGenerated: boolean;
  readonly checkpoint: Uint8Array;
  readonly obsStats: Uint8Array;
}

async function makePolicy(flags: {
  readonly random: boolean;
  readonly obsDim: number | undefined;
  readonly actDim: number | undefined;
  readonly hiddenSizes: readonly number[] | undefined;
  readonly activation: string | undefined;
  readonly seed: number | undefined;
}): Promise<ProjectPolicy> {
  const { random, obsDim, actDim, hiddenSizes, activation, seed } = flags;
  const wanted = [obsDim, actDim, hiddenSizes, activation, seed];
  if (!random && wanted.every((value) => value === undefined)) {
    return {
      sizes: DEMO_ACTOR,
      activation: DEMO_ACTOR.activation,
      origin: `the walking policy that is built into lite3rl ${version}`,
      isGenerated: false,
      checkpoint: await readDemoFile("checkpoint"),
      obsStats: await readDemoFile("obsStats"),
    };
  }
  const sizes = {
    observationSize: obsDim ?? DEMO_ACTOR.observationSize,
    actionSize: actDim ?? DEMO_ACTOR.actionSize,
    hiddenSizes: hiddenSizes ?? DEMO_ACTOR.hiddenSizes,
  };
  return {
    sizes,
    activation: parseActivation(activation ?? DEMO_ACTOR.activation, "--activation"),
    origin: `random weights of seed ${seed ?? 0}, trained for nothing`,
    isGenerated: true,
    checkpoint: generateCheckpoint(sizes, seed ?? 0),
    obsStats: generateObsStats(sizes.observationSize, seed ?? 0),
  };
}

function contentOf(file: keyof typeof FILES, policy: ProjectPolicy): string | Uint8Array {
  const { sizes, activation, origin } = policy;
  switch (file) {
    case "checkpoint":
      return policy.checkpoint;
    case "obsStats":
      return policy.obsStats;
    case "config":
      return actorConfig(sizes, activation, origin);
    case "pythonPolicy":
      return pythonPolicy(sizes);
    case "typescriptPolicy":
      return typescriptPolicy(sizes);
    case "settings":
      return projectSettings(sizes, origin);
  }
}

function checkPlaces(directory: string, paths: readonly string[], force: boolean): void {
  for (const path of paths) checkOutput(path, []);
  const found = paths.filter((path) => existsSync(path));
  if (found.length === 0 || force) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot make a project in ${quote(directory)}: ${found.map(quote).join(", ")} ` +
      `${found.length === 1 ? "exists" : "exist"}, name another directory, or --force writes over`,
  );
}
