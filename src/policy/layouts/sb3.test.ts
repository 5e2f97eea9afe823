import { describe, expect, test } from "bun:test";
import { memorySource } from "../../base/files.ts";
import { linesDuring } from "../../base/log_fixture.ts";
import { readTorch } from "../../formats/torch.ts";
import { type SavedTensor, writeCheckpoint } from "../checkpoint_fixture.ts";
import { linear } from "../policy_fixture.ts";
import { detectLayout } from "./detect.ts";
import { readPlanned, refuseState, unsupported } from "./layout_fixture.ts";
import type { Sb3Root } from "./sb3.ts";

const single = (value: number): SavedTensor => ({ shape: [1, 1], values: [value] });
const zero: SavedTensor = { shape: [1], values: [0] };

const PPO = {
  log_std: zero,
  "mlp_extractor.policy_net.0.weight": single(2),
  "mlp_extractor.policy_net.0.bias": zero,
  "mlp_extractor.value_net.0.weight": single(9),
  "action_net.weight": single(3),
  "action_net.bias": zero,
  "value_net.weight": single(9),
};

const TD3 = {
  "actor.mu.0.weight": single(2),
  "actor.mu.0.bias": zero,
  "actor.mu.2.weight": single(3),
  "actor.mu.2.bias": zero,
  "actor_target.mu.0.weight": single(9),
  "critic.qf0.0.weight": single(9),
};

const SAC = {
  "actor.latent_pi.0.weight": single(2),
  "actor.mu.weight": single(3),
  "critic.qf0.0.weight": single(9),
};

const DQN = { "q_net.q_net.0.weight": single(1), "q_net_target.q_net.0.weight": single(1) };

describe("SB3 of policy.pth without its zip", () => {
  test("reads PPO's, whose activation has to be said", async () => {
    const { layout, layers } = await readPlanned(writeCheckpoint(PPO), { activation: "tanh" });
    expect({ layout, layers }).toEqual({
      layout: "sb3_ppo",
      layers: [
        linear("mlp_extractor.policy_net.0", [[2]], [0]),
        { kind: "activation", activation: "tanh" },
        linear("action_net", [[3]], [0]),
      ],
    });
  });

  test("refuses those of which the zip says how actions are stretched, and DQN", async () => {
    const needsZip = unsupported(
      "it is the policy.pth of a Stable-Baselines3 zip: how its actions are stretched to the " +
        "action space is in that zip's data, give the .zip",
    );
    expect([await refuseState(SAC), await refuseState(TD3), await refuseState(DQN)]).toEqual([
      needsZip,
      needsZip,
      unsupported(
        "it is a DQN, whose network gives a value for each of its discrete actions; need the " +
          "continuous actions of PPO, A2C, SAC, TD3 or DDPG",
      ),
    ]);
  });
});

describe("SB3 of a zip", () => {
  /** What is said while a zip with these weights and this `net_arch` is planned. */
  async function planWith(state: Readonly<Record<string, SavedTensor>>, net_arch: unknown) {
    const { root: policy } = await readTorch(memorySource(writeCheckpoint(state)));
    const action_space = { ":type:": "Box", _shape: [1], low: "[-2.]", high: "[1.]" };
    const data = JSON.stringify({ policy_kwargs: { net_arch }, action_space });
    const root: Sb3Root = { kind: "sb3", policy, data };
    return await linesDuring(() => detectLayout(root, {}));
  }

  test("says where net_arch is not what the weights are, in each of its forms", async () => {
    const says = (widths: string) => [
      `warning: net_arch in the file's data says [${widths}], the weights have [1]: taking the weights`,
    ];
    expect([
      await planWith(PPO, [1]),
      await planWith(PPO, { pi: [1], vf: [7] }),
      await planWith(PPO, [{ pi: [64, 64], vf: [1] }]),
      await planWith(PPO, undefined),
      await planWith(TD3, { pi: [1], qf: [7] }),
      await planWith(TD3, [1, 1]),
    ]).toEqual([[], [], says("64, 64"), [], [], says("1, 1")]);
  });

  test("refuses DQN before it asks for a Box", async () => {
    const { root: policy } = await readTorch(memorySource(writeCheckpoint(DQN)));
    const data = JSON.stringify({ action_space: { ":type:": "Discrete" } });
    expect(() => detectLayout({ kind: "sb3", policy, data }, {})).toThrow("it is a DQN, whose");
  });
});
