import { describe, expect, test } from "bun:test";
import { linesDuring } from "../../base/log_fixture.ts";
import { type Code, dict, int } from "../../formats/pickle_fixture.ts";
import { bytesOf, tensorCode, writeTorch } from "../../formats/torch_fixture.ts";
import { renamed, TINY_STATE } from "../checkpoint_fixture.ts";
import type { Layer } from "../network.ts";
import { linear, TINY_NETWORK } from "../policy_fixture.ts";
import {
  actorAs,
  malformed,
  readPlanned,
  readState,
  refuseState,
  unsupported,
} from "./layout_fixture.ts";

describe("ACTOR_CRITIC", () => {
  test("reads the actor and leaves critic and noise alone", async () => {
    expect(await readState(TINY_STATE)).toEqual([...TINY_NETWORK.layers]);
  });

  test("reads it under state_dict, beside anything else", async () => {
    const nested = (state: Code) => dict({ iteration: int(300), state_dict: state });
    expect(await readState(TINY_STATE, nested)).toEqual([...TINY_NETWORK.layers]);
  });

  test("does not depend on the order of the keys", async () => {
    const reversed = Object.fromEntries(Object.entries(TINY_STATE).reverse());
    expect(await readState(reversed)).toEqual([...TINY_NETWORK.layers]);
  });

  for (const prefix of ["pi", "policy", "actor.mlp", "policy.actor"]) {
    test(`reads an actor called ${prefix}`, async () => {
      const layers = await readState(renamed(TINY_STATE, actorAs(prefix)));
      expect(layers).toEqual(
        TINY_NETWORK.layers.map((layer) =>
          layer.kind === "linear" ? { ...layer, name: actorAs(prefix)(layer.name) } : layer,
        ),
      );
    });
  }

  test("orders layers by number, not by letter", async () => {
    const indices = [0, 2, 4, 6, 8, 10];
    const state = Object.fromEntries(
      indices.flatMap((i) => [
        [`actor.${i}.weight`, { shape: [1, 1], values: [i] }],
        [`actor.${i}.bias`, { shape: [1], values: [-i] }],
      ]),
    );
    const layers = await readState(state);
    expect(layers.filter((layer) => layer.kind === "linear")).toEqual(
      indices.map((i) => linear(`actor.${i}`, [[i]], [-i])),
    );
  });

  test("takes layers that all have no bias", async () => {
    const layers = await readState({
      "actor.0.weight": { shape: [2, 1], values: [1, 2] },
      "actor.2.weight": { shape: [1, 2], values: [3, 4] },
    });
    expect(layers).toEqual([
      linear("actor.0", [[1], [2]], [0, 0]),
      { kind: "activation", activation: "elu" },
      linear("actor.2", [[3, 4]], [0]),
    ]);
  });

  test("refuses Linear after Linear: a ModuleList has the same keys", async () => {
    const state = {
      "actor.layers.0.weight": { shape: [2, 1], values: [1, 2] },
      "actor.layers.1.weight": { shape: [1, 2], values: [3, 4] },
    };
    expect(await refuseState(state)).toEqual({
      code: "UNSUPPORTED",
      message:
        "actor.layers.0 and actor.layers.1 are both Linear: a ModuleList with elu in its forward " +
        "has the same keys as layers with nothing between; use a Sequential with its " +
        "activations, or say --activation identity",
    });
  });

  test("reads weights of other types as float32", async () => {
    const weight = { key: "0", shape: [1, 2] };
    const bias = { key: "1", shape: [1], storage: "DoubleStorage" };
    const bytes = writeTorch(
      dict({
        "actor.0.weight": tensorCode({ ...weight, storage: "HalfStorage" }),
        "actor.0.bias": tensorCode(bias),
      }),
      { "0": bytesOf(Float16Array.of(0.5, -2)), "1": bytesOf(Float64Array.of(0.1)) },
    );
    expect((await readPlanned(bytes)).layers).toEqual([linear("actor.0", [[0.5, -2]], [0.1])]);
  });

  test("takes noise beside the actor or in it, under each of its names", async () => {
    const names = ["std", "log_std", "logstd", "actor.log_std", "actor_logstd", "dist.log_std"];
    for (const noise of names) {
      const state = renamed(TINY_STATE, (name) => (name === "log_std" ? noise : name));
      expect(await readState(state)).toEqual([...TINY_NETWORK.layers]);
    }
  });
});

describe("ACTOR_CRITIC refuses", () => {
  const beside: readonly [what: string, key: string][] = [
    ["an encoder", "encoder.0.weight"],
    ["a normalizer's mean", "obs_normalizer.mean"],
    ["a normalizer's std, which is no noise", "obs_normalizer.std"],
    ["statistics of observations", "obs_std"],
  ];
  for (const [what, key] of beside) {
    test(`${what} that the policy may need`, async () => {
      expect(await refuseState({ ...TINY_STATE, [key]: { shape: [1, 1] } })).toEqual(
        unsupported(
          `"${key}" is neither of "actor" nor known to be of something else, so the policy ` +
            "could be more than that; name the actor with --actor",
        ),
      );
    });
  }

  const inside: readonly [what: string, key: string][] = [
    ["a skip connection", "actor.skip.weight"],
    ["a normalizer's mean", "actor.norm.running_mean"],
    ["a normalizer's std, which is no noise", "actor.obs_normalizer.std"],
    ["a layer's scale", "actor.2.weight_scale"],
    ["a layer without a weight", "actor.0.running_var"],
  ];
  for (const [what, key] of inside) {
    test(`${what} in the actor, with and without --actor`, async () => {
      const state = { ...TINY_STATE, [key]: { shape: [1, 1] } };
      const refusal = unsupported(
        `"${key}" is in the actor, but no part of a Linear, LayerNorm, LSTM or GRU layer, so ` +
          "the policy is more than those; this is not supported",
      );
      expect([await refuseState(state), await refuseState(state, { actor: "actor" })]).toEqual([
        refusal,
        refusal,
      ]);
    });
  }

  test("noise of another width than the action's: a head is missing", async () => {
    const wide = (count: number) => ({ ...TINY_STATE, log_std: { shape: [count] } });
    const state = {
      "trunk.0.weight": { shape: [32, 2] },
      "trunk.0.bias": { shape: [32] },
      log_std: { shape: [12] },
    };
    const missing = (noise: number, gives: number) =>
      unsupported(
        `"log_std" has ${noise} values, the last layer gives ${gives}: a layer may be missing`,
      );
    expect([
      await refuseState(state),
      await refuseState(wide(0)),
      await refuseState(wide(2)),
    ]).toEqual([missing(12, 32), missing(0, 1), missing(2, 1)]);
  });

  test("statistics beside the weights", async () => {
    for (const key of ["obs_norm", "obs_rms", "normalizer", "running_mean_std", "obs_mean"]) {
      const wrapped = (state: Code) => dict({ state_dict: state, [key]: dict({ mean: int(0) }) });
      expect((await refuseState(TINY_STATE, {}, wrapped)).message).toBe(
        `"${key}" beside the weights may be a normalizer of a form that is not known; export the ` +
          "weights alone, and give mean and std by --obs-stats obs_stats.npz",
      );
    }
  });

  test("a missing bias and a missing weight", async () => {
    const without = (key: string) =>
      renamed(TINY_STATE, (name) => (name === key ? undefined : name));
    const found = (...skip: string[]) =>
      Object.entries(TINY_STATE)
        .filter(([name]) => !skip.includes(name))
        .map(([name, { shape }]) => `${name} [${shape.join(", ")}]`)
        .join(", ");
    expect([
      await refuseState(without("actor.2.bias")),
      await refuseState(without("actor.0.weight")),
    ]).toEqual([
      malformed(`it has no "actor.2.bias", found ${found("actor.2.bias")}`),
      malformed(`it has no "actor.0.weight", found ${found("actor.0.weight")}`),
    ]);
  });

  test("layers that do not fit each other", async () => {
    expect(await refuseState({ ...TINY_STATE, "actor.2.weight": { shape: [1, 4] } })).toEqual(
      malformed("actor.0 gives 3 values, actor.2 takes 4"),
    );
  });

  test("a recurrent memory of an unknown place", async () => {
    const key = "memory_a.rnn.weight_ih_l0";
    expect(await refuseState({ ...TINY_STATE, [key]: { shape: [1, 1] } })).toEqual(
      unsupported(
        `"${key}" is of an LSTM or GRU whose place this layout does not know; save TorchScript ` +
          "(torch.jit.script), which says it",
      ),
    );
  });

  test("a layer 4 after layer 0: something unknown is between them", async () => {
    const state = renamed(TINY_STATE, (name) => name.replace("actor.2", "actor.4"));
    expect(await refuseState(state)).toEqual(
      unsupported(
        "actor goes from layer 0 to layer 4, " +
          "need a Linear layer and an activation in turn (actor.2.weight)",
      ),
    );
  });

  test("something unknown before the first layer", async () => {
    const state = renamed(TINY_STATE, (name) =>
      name.replace("actor.2", "actor.3").replace("actor.0", "actor.1"),
    );
    expect(await refuseState(state)).toEqual(
      unsupported("actor begins with layer 1, need a Linear layer first (actor.0.weight)"),
    );
  });

  test("layers that are not Linear", async () => {
    const conv = { ...TINY_STATE, "actor.0.weight": { shape: [3, 2, 1] } };
    const vector = { ...TINY_STATE, "actor.1.weight": { shape: [3] } };
    const batchNorm = {
      ...vector,
      "actor.1.bias": { shape: [3] },
      "actor.1.running_mean": { shape: [3] },
    };
    const need = "need [outputs, inputs] of a Linear layer";
    expect([
      await refuseState(conv),
      await refuseState(batchNorm),
      await refuseState(vector),
    ]).toEqual([
      unsupported(`"actor.0.weight" has shape [3, 2, 1], ${need}`),
      unsupported(
        "actor.1 is a BatchNorm, whose statistics are not read: fold it into the Linear before " +
          "it (torch.nn.utils.fuse_linear_bn_eval), or export TorchScript without it",
      ),
      unsupported(
        "actor.1 has one vector and no bias: it may be an RMSNorm, a PReLU or a LayerNorm, and a " +
          "checkpoint does not say which; need a LayerNorm with bias",
      ),
    ]);
  });

  test("a bias of another length", async () => {
    expect(await refuseState({ ...TINY_STATE, "actor.0.bias": { shape: [2] } })).toEqual(
      malformed('"actor.0.bias" has shape [2], need [3]'),
    );
  });

  test("weights and biases that are no numbers", async () => {
    const values = [1, 2, Number.NaN, 4, 5, 6];
    expect([
      await refuseState({ ...TINY_STATE, "actor.0.weight": { shape: [3, 2], values } }),
      await refuseState({ ...TINY_STATE, "actor.2.bias": { shape: [1], values: [-Infinity] } }),
    ]).toEqual([
      malformed('"actor.0.weight" holds NaN at element 2, need numbers'),
      malformed('"actor.2.bias" holds -Infinity at element 0, need numbers'),
    ]);
  });
});

describe("ACTOR_CRITIC reads in other arrangements", () => {
  const body = {
    "trunk.0.weight": { shape: [2, 1], values: [1, 2] },
    "trunk.0.bias": { shape: [2], values: [3, 4] },
  };
  const bodyAndHead = [
    linear("trunk.0", [[1], [2]], [3, 4]),
    { kind: "activation", activation: "elu" },
    linear("mu", [[5, 6]], [7]),
  ] as const;

  test("trunk and head apart, saying what it takes between them", async () => {
    const state = {
      ...body,
      "mu.weight": { shape: [1, 2], values: [5, 6] },
      "mu.bias": { shape: [1], values: [7] },
      std: { shape: [1] },
      "v.weight": { shape: [1, 2] },
    };
    const layers: Layer[] = [];
    const said = await linesDuring(async () => layers.push(...(await readState(state))));
    expect([said, layers]).toEqual([["trunk → mu: taking elu between the two"], [...bodyAndHead]]);
  });

  test("a head that does not fit its trunk is refused", async () => {
    expect(await refuseState({ ...body, "mu.weight": { shape: [1, 3] } })).toEqual(
      malformed("trunk.0 gives 2 values, mu takes 3"),
    );
  });

  test("LayerNorm between layers, saying its eps", async () => {
    const state = {
      "actor.0.weight": { shape: [1, 1], values: [2] },
      "actor.0.bias": { shape: [1], values: [0] },
      "actor.1.weight": { shape: [1], values: [3] },
      "actor.1.bias": { shape: [1], values: [4] },
      "actor.3.weight": { shape: [1, 1], values: [5] },
      "actor.3.bias": { shape: [1], values: [6] },
    };
    const layers: Layer[] = [];
    const said = await linesDuring(async () => layers.push(...(await readState(state))));
    expect([said, layers]).toEqual([
      [
        "LayerNorm: eps is not in a checkpoint, taking torch's own 1e-5; a GroupNorm has the " +
          "same keys, and would act otherwise",
      ],
      [
        linear("actor.0", [[2]], [0]),
        {
          kind: "layer_norm",
          name: "actor.1",
          weight: Float32Array.of(3),
          bias: Float32Array.of(4),
          epsilon: 1e-5,
        },
        { kind: "activation", activation: "elu" },
        linear("actor.3", [[5]], [6]),
      ],
    ]);
  });

  test("noise that all actions share, or one row per action", async () => {
    const state = {
      "actor.0.weight": { shape: [2, 1] },
      "actor.0.bias": { shape: [2] },
    };
    const shapes = [[], [1], [1, 2], [2], [8, 2]];
    for (const shape of shapes) {
      expect(await readState({ ...state, log_std: { shape } })).toEqual([
        linear("actor.0", [[1], [2]], [1, 2]),
      ]);
    }
  });

  for (const wrapper of ["module.", "_orig_mod.", "module._orig_mod."]) {
    test(`keys behind ${wrapper}`, async () => {
      const state = renamed(TINY_STATE, (name) => wrapper + name);
      expect(await readState(state)).toEqual([...TINY_NETWORK.layers]);
      expect(await refuseState({ ...TINY_STATE, ...state })).toEqual(
        malformed('"actor.0.weight" is there twice, with and without a wrapper\'s prefix'),
      );
    });
  }
});
