import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { AssertionError, present } from "../base/assert.ts";
import { createNetworkState, describeWidths, evaluate, parameterCount } from "./network.ts";
import { applyRecurrent, createRecurrentState, type RecurrentLayer } from "./recurrent.ts";
import { readSequence, seededNetwork, seededRecurrent } from "./recurrent_fixture.ts";
import { type CheckpointHints, readCheckpoint } from "./read_checkpoint.ts";

const CHECKPOINTS = join(import.meta.dir, "../../fixtures/checkpoints");

/** One input, one unit; every number is exact in float32. */
const LSTM: RecurrentLayer = {
  kind: "recurrent",
  cell: "lstm",
  name: "rnn",
  hidden: 1,
  stack: [
    {
      inputs: 1,
      weightIh: Float32Array.of(1, 2, -1, 0.5),
      weightHh: Float32Array.of(0.5, -0.5, 0.25, -0.25),
      biasIh: Float32Array.of(0.125, 0.25, 0.375, 0.5),
      biasHh: Float32Array.of(0, -0.125, 0.5, 0.25),
    },
  ],
};

const GRU: RecurrentLayer = {
  kind: "recurrent",
  cell: "gru",
  name: "rnn",
  hidden: 1,
  stack: [
    {
      inputs: 1,
      weightIh: Float32Array.of(1, 2, -1),
      weightHh: Float32Array.of(0.5, -0.5, 0.25),
      biasIh: Float32Array.of(0.125, 0.25, 0.375),
      biasHh: Float32Array.of(0, -0.125, 0.5),
    },
  ],
};

/** The values of `layer` for a sequence from a zero state, and the state after it. */
function run(layer: RecurrentLayer, inputs: readonly number[]) {
  const state = createRecurrentState(layer);
  const values = inputs.map((x) => [...applyRecurrent(layer, Float64Array.of(x), state)]);
  return { values: values.flat(), h: [...state.h], c: [...state.c] };
}

const close = (expected: readonly number[]) =>
  expected.map((value) => expect.closeTo(value, 14) as number);

describe("applyRecurrent()", () => {
  // The equations of torch.nn.LSTM and torch.nn.GRU, computed with CPython.
  test("steps an LSTM of one unit", () => {
    expect(run(LSTM, [0.5, -1, 2])).toEqual({
      values: close([0.16760911144745533, 0.17455876827004943, -0.3168730276953946]),
      h: close([-0.3168730276953946]),
      c: close([-0.39352311583028643]),
    });
  });

  test("steps a GRU of one unit", () => {
    expect(run(GRU, [0.5, -1, 2])).toEqual({
      values: close([0.04853327212984633, 0.7979558726309887, 0.7614993853156684]),
      h: close([0.7614993853156684]),
      c: [],
    });
  });

  for (const cell of ["lstm", "gru"] as const) {
    test(`feeds each ${cell} of a stack with the one before`, () => {
      const stacked = seededRecurrent(cell, { inputs: 2, hidden: 3, layers: 2 });
      const part = (index: number): RecurrentLayer => {
        return { ...stacked, stack: [present(stacked.stack[index])] };
      };
      const [first, second] = [part(0), part(1)];
      const [whole, one, two] = [stacked, first, second].map(createRecurrentState);
      for (const input of [Float64Array.of(1, -2), Float64Array.of(0.5, 0)]) {
        const between = applyRecurrent(first, input, present(one));
        expect(applyRecurrent(stacked, input, present(whole))).toEqual(
          applyRecurrent(second, between, present(two)),
        );
      }
      expect(present(whole)).toEqual({
        h: Float64Array.of(...present(one).h, ...present(two).h),
        c: Float64Array.of(...present(one).c, ...present(two).c),
      });
    });
  }

  test("asserts the width of its input", () => {
    const state = createRecurrentState(LSTM);
    expect(() => applyRecurrent(LSTM, Float64Array.of(1, 2), state)).toThrow(
      new AssertionError("recurrent input has the wrong width"),
    );
  });
});

describe("evaluate() of a recurrent network", () => {
  const rsl: CheckpointHints = { normalizerEpsilon: 0.01 };
  const REAL: readonly (readonly [name: string, hints: CheckpointHints, widths: string])[] = [
    ["rsl_rl_4_0_gru.pt", { activation: "silu" }, "12-gru6-"],
    ["rsl_rl_5_5_gru.pt", { ...rsl, activation: "relu" }, "12-gru6-gru6-"],
    ["rsl_rl_4_0_lstm.pt", { ...rsl, activation: "tanh" }, "12-lstm6-lstm6-"],
    ["rl_games_gru.pth", { activation: "tanh" }, "12-"],
  ];
  for (const [name, hints, widths] of REAL) {
    test(`gives the golden sequence of ${name}`, async () => {
      const checkpoint = await readCheckpoint(join(CHECKPOINTS, name), hints);
      const { normalizer, network } = checkpoint;
      const layers = normalizer === undefined ? network.layers : [normalizer, ...network.layers];
      const { rows, observations, actions } = await readSequence(name.replace(/\.\w+$/, ""));
      const state = createNetworkState(network);
      let worst = 0;
      for (let row = 0; row < rows; row++) {
        const observation = observations.subarray(row * 12, (row + 1) * 12);
        evaluate({ ...network, layers }, observation, state).forEach((value, i) => {
          worst = Math.max(worst, Math.abs(value - present(actions[row * 4 + i])));
        });
      }
      expect([rows, describeWidths(network).startsWith(widths), worst <= 1e-5]).toEqual([
        50,
        true,
        true,
      ]);
    });
  }

  test("asserts that there is a state", () => {
    expect(() => evaluate(seededNetwork("gru", 1), [1, 2, 3])).toThrow(AssertionError);
  });

  test("has a state of its own for each episode, and none without a memory", () => {
    const network = seededNetwork("lstm", 2);
    const states = [createNetworkState(network), createNetworkState(network)];
    const [first, again] = states.map((state) => evaluate(network, [1, 2, 3], state));
    expect(first).toEqual(present(again));
    expect(evaluate(network, [1, 2, 3], states[0])).not.toEqual(present(again));
    const [, head] = network.layers;
    const feedForward = { layers: [present(head)], observationSize: 5, actionSize: 2 };
    expect(createNetworkState(feedForward)).toBeUndefined();
  });
});

test("parameterCount() and describeWidths() count every cell", () => {
  // 4·5·(3 + 5 + 2) + 4·5·(5 + 5 + 2) + 2·6, and 3·5·(3 + 5 + 2) + 2·6.
  expect(
    [seededNetwork("lstm", 2), seededNetwork("gru", 1)].map((it) => [
      describeWidths(it),
      parameterCount(it),
    ]),
  ).toEqual([
    ["3-lstm5-lstm5-2", 452],
    ["3-gru5-2", 162],
  ]);
});
