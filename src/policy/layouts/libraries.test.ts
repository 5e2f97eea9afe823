/**
 * What the layouts of the libraries refuse; that they read the libraries' own files is in
 * `export/checkpoints.test.ts`.
 */

import { describe, expect, test } from "bun:test";
import { refusalOf } from "../../base/refusal_fixture.ts";
import { type Code, dict, NONE } from "../../formats/pickle_fixture.ts";
import { bytesOf, tensorCode, writeTorch } from "../../formats/torch_fixture.ts";
import type { SavedTensor } from "../checkpoint_fixture.ts";
import { malformed, readPlanned, type Said, type State, unsupported } from "./layout_fixture.ts";

/** A checkpoint of several state dicts. */
function writeStates(states: Readonly<Record<string, State>>, more: Record<string, Code> = {}) {
  const storages: Record<string, Uint8Array> = {};
  const save = ({ shape, values }: SavedTensor): Code => {
    const key = `${Object.keys(storages).length}`;
    const count = shape.reduce((product, size) => product * size, 1);
    storages[key] = bytesOf(Float32Array.from(values ?? Array.from({ length: count }, () => 1)));
    return tensorCode({ key, shape });
  };
  const codes = Object.entries(states).map(([name, state]) => {
    const tensors = Object.entries(state).map(([key, tensor]) => [key, save(tensor)]);
    return [name, dict(Object.fromEntries(tensors) as Record<string, Code>)];
  });
  const root = { ...(Object.fromEntries(codes) as Record<string, Code>), ...more };
  return writeTorch(dict(root), storages);
}

const linear = (name: string, outputs: number, inputs: number): State => ({
  [`${name}.weight`]: { shape: [outputs, inputs] },
  [`${name}.bias`]: { shape: [outputs] },
});
const normalizer = (prefix: string, mean: number[], std: number[]): State => ({
  [`${prefix}_mean`]: { shape: [1, mean.length], values: mean },
  [`${prefix}_std`]: { shape: [1, std.length], values: std },
  [`${prefix}count`]: { shape: [] },
});
const one = (...keys: string[]): State =>
  Object.fromEntries(keys.map((key) => [key, { shape: [1] }]));
const said: Said = { normalizerEpsilon: 0.5 };

describe("RSL_RL", () => {
  const actor = { ...linear("mlp.0", 1, 2), ...one("std") };
  const write = (more: State) => writeStates({ actor_state_dict: { ...actor, ...more } });

  test("divides by std plus eps", async () => {
    const bytes = write(normalizer("obs_normalizer.", [1, 2], [3, 0]));
    const planned = await readPlanned(bytes, said);
    expect([planned.layout, planned.normalizer]).toEqual([
      "rsl_rl",
      { kind: "normalize", mean: Float32Array.of(1, 2), divisor: Float32Array.of(3.5, 0.5) },
    ]);
  });

  const refused: readonly [what: string, more: State, refusal: object][] = [
    [
      "a normalizer of another form",
      one("obs_normalizer.running_mean"),
      unsupported(
        '"obs_normalizer.running_mean" is neither of "mlp" nor known to be of something else, so ' +
          "the policy could be more than that; name the actor with --actor",
      ),
    ],
    [
      "a normalizer with more than it should have",
      { ...normalizer("obs_normalizer.", [1, 2], [3, 0]), ...one("obs_normalizer.clip") },
      unsupported(
        '"obs_normalizer.clip" is neither of "mlp" nor known to be of something else, so the ' +
          "policy could be more than that; name the actor with --actor",
      ),
    ],
    [
      "a mean and a spread of different lengths",
      normalizer("obs_normalizer.", [1, 2], [3]),
      malformed('"obs_normalizer._mean" has 2 values, "obs_normalizer._std" 1'),
    ],
    [
      "a spread below zero",
      normalizer("obs_normalizer.", [1, 2], [3, -1]),
      malformed('"obs_normalizer._std" is -1 at element 1, need not below zero'),
    ],
    [
      "noise of another width",
      { std: { shape: [3] } },
      unsupported('"std" has 3 values, the last layer gives 1: a layer may be missing'),
    ],
    [
      "a memory of another width than the layer after it",
      { "rnn.rnn.weight_ih_l0": { shape: [4, 2] }, "rnn.rnn.weight_hh_l0": { shape: [4, 1] } },
      malformed("rnn.rnn gives 1 values, mlp.0 takes 2"),
    ],
  ];
  for (const [what, more, refusal] of refused) {
    test(`refuses ${what}`, async () => {
      expect(await refusalOf(() => readPlanned(write(more), said))).toEqual(refusal as never);
    });
  }

  test("refuses to divide by zero", async () => {
    const bytes = write(normalizer("obs_normalizer.", [1, 2], [3, 0]));
    expect(await refusalOf(() => readPlanned(bytes, { normalizerEpsilon: 0 }))).toEqual(
      unsupported(
        '"obs_normalizer._std" is 0 at element 1 and eps is 0, which would divide by zero; ' +
          "need --normalizer-eps above 0",
      ),
    );
  });
});

describe("RSL_RL_LEGACY", () => {
  const state = { ...linear("actor.0", 1, 2), ...one("std"), ...linear("critic.0", 1, 5) };
  const write = (model: State, states: Readonly<Record<string, State>> = {}) =>
    writeStates({ model_state_dict: { ...state, ...model }, ...states }, { infos: NONE });

  test("takes the normalizer beside the state dict", async () => {
    const beside = { obs_norm_state_dict: normalizer("", [1, 2], [3, 4]) };
    const planned = await readPlanned(write({}, beside), said);
    expect([planned.layout, planned.normalizer]).toEqual([
      "rsl_rl_legacy",
      { kind: "normalize", mean: Float32Array.of(1, 2), divisor: Float32Array.of(3.5, 4.5) },
    ]);
  });

  test("leaves the critic's and the teacher's normalizers alone", async () => {
    const critics = normalizer("critic_obs_normalizer.", [1], [1]);
    const teachers = normalizer("teacher_obs_normalizer.", [1], [1]);
    expect((await readPlanned(write({ ...critics, ...teachers }))).normalizer).toBeUndefined();
  });

  test("refuses normalizers that it cannot place", async () => {
    const beside = { obs_norm_state_dict: one("running_mean") };
    expect([
      await refusalOf(() => readPlanned(write({}, beside), said)),
      await refusalOf(() => readPlanned(write(one("actor_obs_normalizer.running_mean")), said)),
      await refusalOf(() => readPlanned(write(one("obs_normalizer._mean")), said)),
    ]).toEqual([
      unsupported("its obs_norm_state_dict has running_mean [1], need _mean and _std of rsl_rl"),
      ...["actor_obs_normalizer.running_mean", "obs_normalizer._mean"].map((key) =>
        unsupported(
          `"${key}" is neither of "actor" nor known to be of something else, so the policy could ` +
            "be more than that; name the actor with --actor",
        ),
      ),
    ]);
  });
});

describe("RL_GAMES", () => {
  const model = {
    ...linear("a2c_network.actor_mlp.0", 3, 2),
    ...linear("a2c_network.mu", 1, 3),
    ...linear("a2c_network.value", 1, 3),
    ...one("a2c_network.sigma"),
  };
  const variance = (prefix: string): State => ({
    [`${prefix}running_mean`]: { shape: [2], values: [1, 2] },
    [`${prefix}running_var`]: { shape: [2], values: [8.5, 3.5] },
    [`${prefix}count`]: { shape: [] },
  });

  test("divides by the root of the variance plus eps, in the model or beside it", async () => {
    const inside = writeStates({ model: { ...model, ...variance("running_mean_std.") } });
    const beside = writeStates({ model, running_mean_std: variance("") });
    const expected = {
      kind: "normalize",
      mean: Float32Array.of(1, 2),
      divisor: Float32Array.of(3, 2),
      limit: 5,
    } as const;
    for (const bytes of [inside, beside]) {
      const planned = await readPlanned(bytes, said);
      expect([planned.layout, planned.normalizer]).toEqual(["rl_games", expected]);
    }
  });

  test("refuses statistics of several observations", async () => {
    const key = "running_mean_std.running_mean_std.obs.running_mean";
    const bytes = writeStates({ model: { ...model, ...one(key) } });
    expect((await refusalOf(() => readPlanned(bytes, said))).message).toStartWith(
      `"${key}" is neither of "a2c_network.actor_mlp", "a2c_network.mu" nor known`,
    );
  });

  for (const [rnn, norm] of [
    ["rnn", "layer_norm"],
    ["a_rnn", "a_layer_norm"],
  ]) {
    test(`reads the LayerNorm behind ${rnn}, and leaves the critic's`, async () => {
      const cell = `a2c_network.${rnn}.rnn`;
      const memory = (inputs: number): State => ({
        [`${cell}.weight_ih_l0`]: { shape: [6, inputs] },
        [`${cell}.weight_hh_l0`]: { shape: [6, 2] },
        [`a2c_network.${norm}.weight`]: { shape: [2] },
        [`a2c_network.${norm}.bias`]: { shape: [2] },
        "a2c_network.c_layer_norm.weight": { shape: [7] },
      });
      const mlp = (inputs: number, outputs: number): State => ({
        ...linear("a2c_network.actor_mlp.0", 3, inputs),
        ...linear("a2c_network.mu", 1, outputs),
      });
      const kinds = async (model: State) =>
        (await readPlanned(writeStates({ model }))).layers.map(({ kind }) => kind);
      expect([
        await kinds({ ...memory(4), ...mlp(2, 3) }),
        await kinds({ ...memory(3), ...mlp(4, 2) }),
      ]).toEqual([
        ["recurrent", "layer_norm", "linear", "activation", "linear"],
        ["linear", "activation", "recurrent", "layer_norm", "linear"],
      ]);
    });
  }

  test("refuses an RNN that may stand before or after the MLP", async () => {
    const cell: State = {
      "a2c_network.rnn.rnn.weight_ih_l0": { shape: [9, 3] },
      "a2c_network.rnn.rnn.weight_hh_l0": { shape: [9, 3] },
    };
    const square = { ...model, ...linear("a2c_network.actor_mlp.0", 3, 3), ...cell };
    expect(await refusalOf(() => readPlanned(writeStates({ model: square })))).toEqual(
      unsupported(
        '"a2c_network.rnn.rnn" may stand before or after "a2c_network.actor_mlp": the shapes fit both',
      ),
    );
  });
});

describe("readMemory()", () => {
  const cell = (index: number, inputs: number): State => ({
    [`rnn.rnn.weight_ih_l${index}`]: { shape: [6, inputs] },
    [`rnn.rnn.weight_hh_l${index}`]: { shape: [6, 2] },
    [`rnn.rnn.bias_ih_l${index}`]: { shape: [6] },
    [`rnn.rnn.bias_hh_l${index}`]: { shape: [6] },
  });
  const base = { ...linear("mlp.0", 1, 2), ...one("std"), ...cell(0, 3) };
  const refuse = (more: State, without: readonly string[] = []) => {
    const all = Object.entries({ ...base, ...more });
    const state = Object.fromEntries(all.filter(([key]) => !without.includes(key)));
    return refusalOf(() => readPlanned(writeStates({ actor_state_dict: state }), said));
  };

  test("reads a GRU without biases", async () => {
    const keys = Object.entries(base).filter(([key]) => !key.startsWith("rnn.rnn.bias"));
    const bytes = writeStates({ actor_state_dict: Object.fromEntries(keys) });
    const [layer] = (await readPlanned(bytes)).layers;
    expect(layer).toEqual({
      kind: "recurrent",
      cell: "gru",
      name: "rnn.rnn",
      hidden: 2,
      stack: [
        {
          inputs: 3,
          weightIh: new Float32Array(18).fill(1),
          weightHh: new Float32Array(12).fill(1),
          biasIh: new Float32Array(6),
          biasHh: new Float32Array(6),
        },
      ],
    });
  });

  const variant = (key: string) =>
    unsupported(
      `"${key}" belongs to a bidirectional or projected recurrent layer, need a plain LSTM or GRU`,
    );
  const refused: readonly [what: string, more: State, without: string[], refusal: object][] = [
    [
      "a bidirectional one",
      { "rnn.rnn.weight_ih_l0_reverse": { shape: [6, 3] } },
      [],
      variant("rnn.rnn.weight_ih_l0_reverse"),
    ],
    [
      "a projected one",
      { "rnn.rnn.weight_hr_l0": { shape: [1, 2] } },
      [],
      variant("rnn.rnn.weight_hr_l0"),
    ],
    [
      "a plain RNN",
      { "rnn.rnn.weight_hh_l0": { shape: [2, 2] } },
      [],
      unsupported(
        '"rnn.rnn.weight_hh_l0" has shape [2, 2] for 3 inputs, need [4·H, H] of an LSTM or ' +
          "[3·H, H] of a GRU",
      ),
    ],
    [
      "a stack with a gap",
      cell(2, 2),
      [],
      unsupported(
        '"rnn.rnn.weight_ih_l2" is in the actor, but no part of a Linear, LayerNorm, LSTM or GRU ' +
          "layer, so the policy is more than those; this is not supported",
      ),
    ],
    [
      "a second cell of another width",
      cell(1, 3),
      [],
      malformed('"rnn.rnn.weight_ih_l1" has shape [6, 3], need [6, 2]'),
    ],
  ];
  for (const [what, more, without, refusal] of refused) {
    test(`refuses ${what}`, async () => {
      expect(await refuse(more, without)).toEqual(refusal as never);
    });
  }

  test("refuses one of two biases", async () => {
    const { code, message } = await refuse({}, ["rnn.rnn.bias_hh_l0"]);
    expect([code, message.split(", found")[0]]).toEqual([
      "MALFORMED",
      'it has no "rnn.rnn.bias_hh_l0"',
    ]);
  });
});
