import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { findConfig, readActorConfig } from "./config.ts";
import { DEMO_POLICY } from "./policy_fixture.ts";

const directory = temporaryDirectory();
let files = 0;

function yaml(text: string): string {
  const path = join(directory, `${++files}.yaml`);
  writeFileSync(path, text);
  return path;
}

describe("readActorConfig()", () => {
  test("reads the demo policy's", () => {
    expect(readActorConfig(DEMO_POLICY.config)).toEqual({
      path: DEMO_POLICY.config,
      isBlueprint: true,
      observationSize: 45,
      actionSize: 12,
      hiddenSizes: [256, 128, 64],
      activation: "elu",
    });
  });

  test("leaves out what is not there", () => {
    const path = yaml("act_dim: 12 # joints\n");
    expect(readActorConfig(path)).toEqual({
      path,
      isBlueprint: true,
      observationSize: undefined,
      actionSize: 12,
      hiddenSizes: undefined,
      activation: undefined,
    });
  });

  test("warns of a key that resembles a known one, and of no other", async () => {
    const path = yaml("obs_dims: 45\nhiden_size: []\nact_d: 12\nactive: elu\nrate: 1\n");
    expect(await linesDuring(() => readActorConfig(path))).toEqual([
      `warning: ${path}: "obs_dims" is not read, did you mean obs_dim?`,
      `warning: ${path}: "hiden_size" is not read, did you mean hidden_sizes?`,
      `warning: ${path}: "act_d" is not read, did you mean act_dim?`,
    ]);
  });

  const refused: readonly [what: string, text: string, reason: string][] = [
    [
      "a duplicate key",
      "obs_dim: 45\nobs_dim: 48\n",
      "Map keys must be unique at line 2, column 1",
    ],
    [
      "broken syntax",
      "hidden_sizes: [256, 128",
      "Flow sequence in block collection must be sufficiently indented and end with a ] " +
        "at line 1, column 24",
    ],
    [
      "several documents",
      "obs_dim: 45\n---\nobs_dim: 48\n",
      "Source contains multiple documents; please use YAML.parseAllDocuments() at line 2, column 1",
    ],
    [
      "an alias without an anchor",
      "obs_dim: *width\n",
      "Unresolved alias (the anchor must be set before the alias): width",
    ],
    [
      "an alias bomb",
      `a: &a [${"x,".repeat(20)}]\nb: &b [${"*a,".repeat(20)}]\nc: [${"*b,".repeat(20)}]\n`,
      "Excessive alias count indicates a resource exhaustion attack",
    ],
    ["an empty file", "", "the document is null, need Object"],
    ["a list", "- obs_dim\n", "the document is a list, need Object"],
    ["a word", "elu\n", 'the document is "elu", need Object'],
    ["text for a number", 'obs_dim: "45"\n', 'obs_dim is "45", need number'],
    ["a fraction", "obs_dim: 45.5\n", "obs_dim is 45.5, need a whole number"],
    ["a null", "act_dim:\n", "act_dim is null, need number"],
    ["zero", "act_dim: 0\n", "act_dim is 0, need >=1"],
    ["more than a policy's width", "obs_dim: 65537\n", "obs_dim is 65537, need <=65536"],
    ["a number for a list", "hidden_sizes: 256\n", "hidden_sizes is 256, need Array"],
    ["a word in a list", "hidden_sizes: [256, big]\n", 'hidden_sizes.1 is "big", need number'],
    ["a number for a name", "activation: 1\n", "activation is 1, need string"],
  ];
  for (const [what, text, reason] of refused) {
    test(`refuses ${what}`, async () => {
      const path = yaml(text);
      expect(await refusalOf(() => readActorConfig(path))).toEqual({
        code: "CONFIG",
        message: `Cannot use config "${path}": ${reason}`,
      });
    });
  }

  test("refuses an unknown activation with the nearest", async () => {
    const path = yaml("activation: eluu\n");
    const { code, message } = await refusalOf(() => readActorConfig(path));
    expect([code, message.split(", need")[0]]).toEqual([
      "CONFIG",
      `Cannot use activation "eluu" from "${path}": unknown, the nearest is elu`,
    ]);
  });

  test("refuses a file over the limit and one that is not there", async () => {
    const absent = join(directory, "absent.yaml");
    const large = yaml(`# ${"x".repeat(1 << 20)}\n`);
    expect([
      await refusalOf(() => readActorConfig(large)),
      await refusalOf(() => readActorConfig(absent)),
    ]).toEqual([
      {
        code: "TOO_LARGE",
        message: `Cannot read "${large}": it has 1048579 bytes, at most 1048576 are taken`,
      },
      { code: "NOT_FOUND", message: `Cannot read "${absent}": there is no such file, need a file` },
    ]);
  });
});

describe("readActorConfig() reads the YAML that a library leaves:", () => {
  const unnormalised = { isBlueprint: false, library: undefined } as const;
  const normalised = { isBlueprint: false, isNormalized: true, library: "rsl_rl" } as const;
  const elu = { hiddenSizes: [16, 8], activation: "elu" } as const;
  const READ: readonly [what: string, text: string, config: object][] = [
    [
      "legged_gym",
      "policy:\n  actor_hidden_dims: [16, 8]\n  activation: elu\n",
      { ...elu, ...unnormalised },
    ],
    [
      "rsl_rl 2, normalised",
      "empirical_normalization: true\npolicy: {actor_hidden_dims: [16, 8], activation: elu}\n",
      { ...elu, ...normalised },
    ],
    [
      "rsl_rl 3, normalised, with Isaac Lab's unset values",
      "empirical_normalization: {}\n" +
        "policy: {actor_hidden_dims: [16, 8], activation: elu, actor_obs_normalization: true}\n",
      { ...elu, ...normalised },
    ],
    [
      "rsl_rl 5, normalised, with Isaac Lab's unset values",
      "empirical_normalization: {}\npolicy: {}\n" +
        "actor: {hidden_dims: [16, 8], activation: elu, obs_normalization: true, " +
        "distribution_cfg: null}\n",
      { ...elu, ...normalised },
    ],
    [
      "rsl_rl 5, not normalised",
      "policy: null\nactor: {hidden_dims: [16, 8], activation: elu, obs_normalization: {}}\n",
      { ...elu, ...unnormalised },
    ],
    [
      "Isaac Lab with nothing set",
      "policy: {activation: {}, actor_hidden_dims: {}, actor_obs_normalization: {}}\n",
      { hiddenSizes: undefined, activation: undefined, ...unnormalised },
    ],
    [
      "rl_games",
      "params:\n  network:\n    mlp: {units: [16, 8], activation: swish, d2rl: false}\n",
      { hiddenSizes: [16, 8], activation: "silu", isBlueprint: false, library: "rl_games" },
    ],
    [
      "Isaac Lab, with Python's tags",
      "policy:\n  actor_hidden_dims: !!python/tuple [16, 8]\n  activation: elu\n" +
        "load_run: !!python/object/apply:builtins.slice [null, null, null]\n",
      { ...elu, ...unnormalised },
    ],
  ];
  for (const [what, text, config] of READ) {
    test(what, () => {
      const path = yaml(text);
      expect(readActorConfig(path) as object).toEqual({ path, ...config });
    });
  }

  const refused: readonly [what: string, text: string, reason: string][] = [
    ["text for a list", "policy: {actor_hidden_dims: big}\n", 'policy.actor_hidden_dims is "big"'],
    ["a number for a switch", "actor: {obs_normalization: 1}\n", "actor.obs_normalization is 1"],
    ["an rl_games YAML without a network", "params: {seed: 1}\n", "params.network is undefined"],
  ];
  for (const [what, text, reason] of refused) {
    test(`and refuses ${what}`, async () => {
      const path = yaml(text);
      const { code, message } = await refusalOf(() => readActorConfig(path));
      expect([code, message.split(", need")[0]]).toEqual([
        "CONFIG",
        `Cannot use config "${path}": ${reason}`,
      ]);
    });
  }
});

test("findConfig() finds agent.yaml beside the checkpoint, or else in params", () => {
  const run = join(directory, "run");
  const [checkpoint, deep, near] = ["model_1.pt", "params/agent.yaml", "agent.yaml"].map((name) =>
    join(run, name),
  ) as [string, string, string];
  mkdirSync(join(run, "params"), { recursive: true });
  const found = [findConfig(checkpoint)];
  for (const path of [deep, near]) {
    writeFileSync(path, "policy: {}\n");
    found.push(findConfig(checkpoint));
  }
  expect(found).toEqual([undefined, deep, near]);
});
