import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { TINY_STATE, writeCheckpoint } from "./checkpoint_fixture.ts";
import { describeWidths } from "./network.ts";
import { DEMO_POLICY, TINY_NETWORK } from "./policy_fixture.ts";
import { type CheckpointHints, readCheckpoint } from "./read_checkpoint.ts";

const FIXTURES = join(import.meta.dir, "../../fixtures/checkpoints");
const directory = temporaryDirectory();
const bytes = writeCheckpoint(TINY_STATE);
const path = join(directory, "policy.pt");
writeFileSync(path, bytes);

/** Writes a config of the tiny actor without some lines, or with others. */
function yaml(name: string, lines: Readonly<Record<string, unknown>>): string {
  const config = join(directory, name);
  const known = { obs_dim: 2, act_dim: 1, hidden_sizes: [3], activation: "elu", ...lines };
  const text = Object.entries(known).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}: ${JSON.stringify(value)}`],
  );
  writeFileSync(config, `${text.join("\n")}\n`);
  return config;
}

const config = yaml("actor.yaml", {});
const silent = yaml("silent.yaml", { activation: undefined });
const refuse = (hints: CheckpointHints, file = path) =>
  refusalOf(() => readCheckpoint(file, hints));
const contradiction = (message: string) => ({ code: "CONFIG", message }) as const;

/** The activation that was chosen, and what was said of it. */
async function chosen(hints: CheckpointHints, file = path): Promise<string[]> {
  let activation = "";
  const lines = await linesDuring(async () => {
    ({ activation } = await readCheckpoint(file, hints));
  });
  return [activation, ...lines];
}

describe("readCheckpoint()", () => {
  test("gives the network, its layout and the digest of the file", async () => {
    expect(await readCheckpoint(path, { config })).toEqual({
      network: TINY_NETWORK,
      normalizer: undefined,
      layout: "actor_critic",
      activation: "elu",
      digest: sha256(bytes),
    });
  });

  test("reads the demo policy that torch wrote", async () => {
    const { network, digest } = await readCheckpoint(DEMO_POLICY.checkpoint, { activation: "elu" });
    expect([describeWidths(network), digest]).toEqual([
      "45-256-128-64-12",
      "2581a200f4c126dca3d1b550b56f7094b1d5d18157f9c26c66e58b686677afa5",
    ]);
  });

  test("takes the activation from the flag or the YAML, ELU where a YAML has none", async () => {
    expect([
      await chosen({ activation: "tanh" }),
      await chosen({ config }),
      await chosen({ activation: "elu", config }),
      await chosen({ activation: "relu", config: silent }),
      await chosen({ config: silent }),
    ]).toEqual([
      ["tanh"],
      ["elu"],
      ["elu"],
      ["relu"],
      ["elu", `${silent} names no activation: taking elu, the default of this ActorCritic`],
    ]);
  });

  test("takes the YAML that stands beside the checkpoint, unless another is named", async () => {
    const run = join(directory, "run");
    const [checkpoint, beside] = [join(run, "model_1.pt"), join(run, "params", "agent.yaml")];
    mkdirSync(join(run, "params"), { recursive: true });
    copyFileSync(path, checkpoint);
    writeFileSync(beside, "policy: {actor_hidden_dims: [3], activation: selu}\n");
    expect([await chosen({}, checkpoint), await chosen({ config }, checkpoint)]).toEqual([
      ["selu", `taking ${beside}, which stands beside the checkpoint`],
      ["elu"],
    ]);
  });

  test("takes no default for a library's checkpoint, whatever the YAML is", async () => {
    const file = join(FIXTURES, "actor_critic_legacy_protocol_4.pt");
    const empty = join(directory, "empty.yaml");
    writeFileSync(empty, "{}\n");
    expect(await refuse({ config: empty }, file)).toEqual(
      contradiction(
        `Cannot choose the activation of "${file}": a checkpoint does not hold it, ` +
          "need --config actor.yaml or --activation elu",
      ),
    );
  });

  test("refuses to guess the activation, and to choose between two", async () => {
    expect([await refuse({}), await refuse({ activation: "tanh", config })]).toEqual([
      contradiction(
        `Cannot choose the activation of "${path}": a checkpoint does not hold it, ` +
          "need --config actor.yaml or --activation elu",
      ),
      contradiction(
        `Cannot choose the activation of "${path}": --activation says tanh, ` +
          `"${config}" says elu; make them agree`,
      ),
    ]);
  });

  const contradicting: readonly [CheckpointHints, lines: object, key: string, values: string][] = [
    [{ observationSize: 45 }, { obs_dim: 45 }, "obs_dim", `45, the weights of "${path}" have 2`],
    [{ actionSize: 12 }, { act_dim: 12 }, "act_dim", `12, the weights of "${path}" have 1`],
    [
      { hiddenSizes: [3, 3] },
      { hidden_sizes: [3, 3] },
      "hidden_sizes",
      `[3,3], the weights of "${path}" have [3]`,
    ],
    [
      { hiddenSizes: [] },
      { hidden_sizes: [] },
      "hidden_sizes",
      `[], the weights of "${path}" have [3]`,
    ],
  ];
  for (const [flags, lines, key, values] of contradicting) {
    test(`refuses a YAML and flags whose ${key} is not the weights': ${values}`, async () => {
      const wrong = yaml("wrong.yaml", { ...lines });
      const reason = `its ${key} is ${values}; correct one of them`;
      expect([
        await refuse({ config: wrong }),
        await refuse({ activation: "elu", ...flags }),
      ]).toEqual([
        contradiction(`Cannot use config "${wrong}": ${reason}`),
        contradiction(`Cannot use the flags: ${reason}`),
      ]);
    });
  }

  test("refuses what contradicts a file that says it all", async () => {
    const script = join(FIXTURES, "torchscript_policy_normalized_traced.pt");
    const sac = join(FIXTURES, "sb3_2_9_sac.zip");
    expect([
      await refuse({ activation: "elu" }, script),
      await refuse({ normalizerEpsilon: 0.5 }, script),
      await refuse({ outputActivation: "tanh" }, script),
      await refuse({ outputActivation: "sigmoid" }, sac),
      await refuse({ activation: "elu" }, sac),
    ]).toEqual([
      contradiction(
        `Cannot choose the activation of "${script}": --activation says elu, ` +
          "the checkpoint says relu; make them agree",
      ),
      contradiction("Cannot use --normalizer-eps 0.5: the checkpoint says 0.01, leave it out"),
      contradiction(
        `Cannot use --output-activation tanh: "${script}" has identity there, leave it out`,
      ),
      contradiction(
        `Cannot use --output-activation sigmoid: "${sac}" has tanh there, leave it out`,
      ),
      contradiction(
        `Cannot choose the activation of "${sac}": --activation says elu, ` +
          "the checkpoint says relu; make them agree",
      ),
    ]);
  });

  test("takes what a file says once more", async () => {
    const sac = join(FIXTURES, "sb3_2_9_sac.zip");
    const { layout, activation } = await readCheckpoint(sac, {
      activation: "relu",
      outputActivation: "tanh",
    });
    expect([layout, activation]).toEqual(["sb3_sac", "relu"]);
  });

  test("asks for the normalizer's eps, unless a YAML says whose it is", async () => {
    const file = join(FIXTURES, "rsl_rl_5_5_normalized.pt");
    const agent = join(directory, "agent_5.yaml");
    const other = join(directory, "rl_games.yaml");
    writeFileSync(agent, "actor: {activation: elu, obs_normalization: true}\n");
    writeFileSync(other, "params: {network: {mlp: {activation: elu}}}\n");
    const need =
      `Cannot read checkpoint "${file}": its normalizer divides by a spread plus an eps that is ` +
      "not in the file; rsl_rl's own is 0.01: say --normalizer-eps 0.01";
    const unsaid = { code: "UNSUPPORTED", message: need } as const;
    expect([
      await chosen({ config: agent }, file),
      await refuse({ activation: "elu" }, file),
      await refuse({ config: other }, file),
    ]).toEqual([["elu", `${agent}: normalised by rsl_rl, whose eps is 0.01`], unsaid, unsaid]);
  });

  test("refuses an eps for a normalizer that is not there", async () => {
    expect(await refuse({ config, normalizerEpsilon: 0.01 })).toEqual(
      contradiction(
        "Cannot use --normalizer-eps 0.01: the checkpoint has no normalizer, leave it out",
      ),
    );
  });

  test("refuses to guess what two numbers per action are", async () => {
    const file = join(FIXTURES, "rsl_rl_5_5_beta.pt");
    const said = { activation: "elu", normalizerEpsilon: 0.01 } as const;
    const sizes = async (distribution: CheckpointHints["distribution"]) =>
      (await readCheckpoint(file, { ...said, distribution })).network.actionSize;
    expect([
      await refuse(said, file),
      await sizes("gaussian"),
      await sizes("beta"),
      await sizes("none"),
    ]).toEqual([
      {
        code: "UNSUPPORTED",
        message:
          `Cannot read checkpoint "${file}": it has no noise (std or log_std), so its last layer ` +
          "of 8 may give two numbers per action; --distribution gaussian or beta says of what, " +
          "--distribution none that it does not",
      },
      4,
      4,
      8,
    ]);
  });

  test("names the file in what is refused", async () => {
    const text = `${path}.txt`;
    writeFileSync(text, "weights");
    expect([
      await refuse({ activation: "elu" }, text),
      await refuse({ activation: "elu" }, `${path}.absent`),
    ]).toEqual([
      {
        code: "MALFORMED",
        message:
          `Cannot read checkpoint "${text}": it begins with "weights", ` +
          "need a torch checkpoint (a zip archive)",
      },
      {
        code: "NOT_FOUND",
        message: `Cannot read "${path}.absent": there is no such file, need a file`,
      },
    ]);
  });
});
