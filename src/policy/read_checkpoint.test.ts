import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { TINY_STATE, writeCheckpoint } from "./checkpoint_fixture.ts";
import type { ActorConfig } from "./config.ts";
import { describeWidths } from "./network.ts";
import { DEMO_POLICY, TINY_NETWORK } from "./policy_fixture.ts";
import { readCheckpoint } from "./read_checkpoint.ts";

const bytes = writeCheckpoint(TINY_STATE);
const path = join(temporaryDirectory(), "policy.pt");
writeFileSync(path, bytes);

const config: ActorConfig = {
  path: "actor.yaml",
  observationSize: 2,
  actionSize: 1,
  hiddenSizes: [3],
  activation: "elu",
};
const refuse = (hints: Parameters<typeof readCheckpoint>[1]) =>
  refusalOf(() => readCheckpoint(path, hints));

describe("readCheckpoint()", () => {
  test("gives the network, its layout and the digest of the file", async () => {
    expect(await readCheckpoint(path, { config })).toEqual({
      network: TINY_NETWORK,
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
    const silent = { ...config, activation: undefined };
    const chosen = async (hints: Parameters<typeof readCheckpoint>[1]) => {
      let activation = "";
      const lines = await linesDuring(async () => {
        ({ activation } = await readCheckpoint(path, hints));
      });
      return [activation, ...lines];
    };
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
      ["elu", "actor.yaml names no activation: taking elu, the default of this ActorCritic"],
    ]);
  });

  test("refuses to guess the activation, and to choose between two", async () => {
    expect([await refuse({}), await refuse({ activation: "tanh", config })]).toEqual([
      {
        code: "CONFIG",
        message:
          `Cannot choose the activation of "${path}": a checkpoint does not hold it, ` +
          "need --config actor.yaml or --activation elu",
      },
      {
        code: "CONFIG",
        message:
          `Cannot choose the activation of "${path}": --activation says tanh, ` +
          '"actor.yaml" says elu; make them agree',
      },
    ]);
  });

  test("refuses a YAML that contradicts the weights", async () => {
    const contradicting: readonly [Partial<ActorConfig>, string][] = [
      [{ observationSize: 45 }, `its obs_dim is 45, the weights of "${path}" have 2`],
      [{ actionSize: 12 }, `its act_dim is 12, the weights of "${path}" have 1`],
      [{ hiddenSizes: [3, 3] }, `its hidden_sizes is [3,3], the weights of "${path}" have [3]`],
      [{ hiddenSizes: [] }, `its hidden_sizes is [], the weights of "${path}" have [3]`],
    ];
    for (const [change, reason] of contradicting) {
      expect(await refuse({ config: { ...config, ...change } })).toEqual({
        code: "CONFIG",
        message: `Cannot use config "actor.yaml": ${reason}; correct the YAML`,
      });
    }
  });

  test("names the file in what is refused", async () => {
    const text = `${path}.txt`;
    writeFileSync(text, "weights");
    expect([
      await refusalOf(() => readCheckpoint(text, { activation: "elu" })),
      await refusalOf(() => readCheckpoint(`${path}.absent`, { activation: "elu" })),
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
