import { describe, expect, test } from "bun:test";
import { type Code, dict, int, real, text } from "../../formats/pickle_fixture.ts";
import { refusalOf } from "../../base/refusal_fixture.ts";
import { bytesOf, tensorCode, writeTorch } from "../../formats/torch_fixture.ts";
import { renamed, TINY_STATE } from "../checkpoint_fixture.ts";
import { SB3 } from "./sb3.ts";
import { asStateDict } from "./state_dict.ts";
import { readPlanned, readState, refuseState, unsupported } from "./layout_fixture.ts";

const runner =
  (more: Record<string, Code> = {}) =>
  (state: Code) =>
    dict({ model_state_dict: state, iter: int(3), infos: dict({}), ...more });
const plain =
  (more: Record<string, Code> = {}) =>
  (state: Code) =>
    dict({ state_dict: state, ...more });
const newRunner =
  (more: Record<string, Code> = {}) =>
  (state: Code) =>
    dict({ actor_state_dict: state, iter: int(3), infos: dict({}), ...more });
const RUNNER_STATE = renamed(TINY_STATE, (name) => (name === "log_std" ? "std" : name));
const MLP_STATE = renamed(RUNNER_STATE, (name) =>
  name.startsWith("critic") ? undefined : name.replace(/^actor\b/, "mlp"),
);

/** The state dict of one tensor: the tiny actor's own, under another name of the root. */
const again = (wrap: (more: Record<string, Code>) => (state: Code) => Code, key: string) => {
  return (state: Code) => wrap({ [key]: state })(state);
};

describe("checkBeside() refuses", () => {
  for (const [layout, state, wrap] of [
    ["rsl_rl_legacy", RUNNER_STATE, runner],
    ["rsl_rl", MLP_STATE, newRunner],
    ["actor_critic", TINY_STATE, plain],
  ] as const) {
    test(`a network of unknown use beside ${layout}`, async () => {
      for (const key of ["encoder_state_dict", "ema_state_dict", "estimator"]) {
        expect(await refuseState(state, undefined, again(wrap, key))).toEqual(
          unsupported(
            `"${key}" beside the weights may be a part of the policy; export a file without it ` +
              "if it is none",
          ),
        );
      }
    });

    test(`statistics of an unknown form beside ${layout}`, async () => {
      for (const key of ["obs_rms", "running_mean_std", "normalizer_state_dict"]) {
        const wrapped = wrap({ [key]: dict({ mean: real(0) }) });
        expect(await refuseState(state, undefined, wrapped)).toEqual(
          unsupported(
            `"${key}" beside the weights may be a normalizer of a form that is not known; export ` +
              "the weights alone, and give mean and std by --obs-stats obs_stats.npz",
          ),
        );
      }
    });

    test(`nothing of a training loop's own beside ${layout}`, async () => {
      const own = {
        optimizer_state_dict: dict({}),
        config: dict({ lr: real(1) }),
        name: text("a"),
      };
      expect(await readState(state, wrap(own))).toHaveLength(3);
      expect(await readState(state, again(wrap, "critic_state_dict"))).toHaveLength(3);
    });
  }
});

describe("readPlan()", () => {
  test("puts nothing after a LayerNorm that follows its activation, before a head", async () => {
    const layers = await readState({
      "actor_trunk.0.weight": { shape: [2, 3] },
      "actor_trunk.0.bias": { shape: [2] },
      "actor_trunk.2.weight": { shape: [2] },
      "actor_trunk.2.bias": { shape: [2] },
      "actor_head.weight": { shape: [1, 2] },
      "actor_head.bias": { shape: [1] },
    });
    expect(layers.map(({ kind }) => kind)).toEqual([
      "linear",
      "activation",
      "layer_norm",
      "linear",
    ]);
  });

  test("puts the activation after a LayerNorm that follows its Linear", async () => {
    const layers = await readState({
      "actor_trunk.0.weight": { shape: [2, 3] },
      "actor_trunk.0.bias": { shape: [2] },
      "actor_trunk.1.weight": { shape: [2] },
      "actor_trunk.1.bias": { shape: [2] },
      "actor_head.weight": { shape: [1, 2] },
      "actor_head.bias": { shape: [1] },
    });
    expect(layers.map(({ kind }) => kind)).toEqual([
      "linear",
      "layer_norm",
      "activation",
      "linear",
    ]);
  });

  test("refuses a number among the weights, which may scale the action", async () => {
    const root = dict({
      ...Object.fromEntries(
        Object.entries(TINY_STATE).map(([key, { shape }], i) => [
          key,
          tensorCode({ key: `${i}`, shape }),
        ]),
      ),
      action_scale: real(0.25),
      iteration: int(7),
    });
    const storages = Object.values(TINY_STATE).map(({ shape }, i) => {
      const count = shape.reduce((product, size) => product * size, 1);
      return [`${i}`, bytesOf(new Float32Array(count))] as const;
    });
    const bytes = writeTorch(root, Object.fromEntries(storages));
    expect(await refusalOf(() => readPlanned(bytes))).toEqual(
      unsupported(
        '"action_scale" is neither of "actor" nor known to be of something else, so the policy ' +
          "could be more than that; name the actor with --actor",
      ),
    );
  });
});

describe("SB3 refuses", () => {
  const state = asStateDict(
    new Map(
      [
        ["mlp_extractor.policy_net.0.weight", [8, 12]],
        ["action_net.weight", [4, 8]],
      ].map(([key, shape]) => [key, { kind: "tensor", dtype: "float32", shape }]),
    ),
  );
  const plan = (data: unknown) =>
    refusalOf(() =>
      SB3.plan({ kind: "sb3", policy: state, data: JSON.stringify(data) }, undefined),
    );
  const box = (size: number) => ({
    ":type:": "<class 'gymnasium.spaces.box.Box'>",
    _shape: [size],
  });

  test("spaces that are no vectors of the weights' widths, and squashing", async () => {
    const discrete = { ":type:": "<class 'gymnasium.spaces.discrete.Discrete'>" };
    const spaces = { observation_space: box(12), action_space: box(4) };
    expect([
      await plan({ ...spaces, action_space: discrete }),
      await plan({ ...spaces, action_space: box(5) }),
      await plan({ ...spaces, observation_space: box(11) }),
      await plan({ ...spaces, policy_kwargs: { squash_output: true } }),
    ]).toEqual(
      [
        "its action space is <class 'gymnasium.spaces.discrete.Discrete'> of shape [?], need a Box of [4]",
        "its action space is <class 'gymnasium.spaces.box.Box'> of shape [5], need a Box of [4]",
        "its observation space is <class 'gymnasium.spaces.box.Box'> of shape [11], need a Box of [12]",
        "its policy has squash_output, which is not supported for PPO and A2C",
      ].map(unsupported),
    );
  });
});
