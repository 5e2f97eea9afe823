import { describe, expect, test } from "bun:test";
import { present } from "../base/assert.ts";
import { createRandom } from "../base/random.ts";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import { openOnnx } from "../runtime/onnx.ts";
import { policyShape } from "../runtime/policy_shape.ts";
import { createNetworkState, evaluate, type Network } from "./network.ts";
import { modelOf } from "./policy_fixture.ts";
import { seededNetwork } from "./recurrent_fixture.ts";

const STEPS = 50;

function open(network: Network, dynamicBatch: boolean) {
  const bytes = encodeOnnx(modelOf(network, { dynamicBatch }));
  return openOnnx(bytes, decodeOnnx(bytes));
}

function sequence(network: Network, seed: number): Float32Array[] {
  const random = createRandom(seed);
  return Array.from({ length: STEPS }, () =>
    Float32Array.from({ length: network.observationSize }, () => random.between(-2, 2)),
  );
}

/** The actions that the network's own arithmetic gives. */
function computed(network: Network, observations: readonly Float32Array[]): number[] {
  const state = createNetworkState(network);
  return observations.flatMap((observation) => [...evaluate(network, observation, state)]);
}

describe("networkToOnnx() of a recurrent network", () => {
  for (const cell of ["lstm", "gru"] as const) {
    for (const layers of [1, 2]) {
      for (const dynamicBatch of [false, true]) {
        const batch = dynamicBatch ? "dynamic" : "static";
        test(`acts as ${layers} ${cell} over ${STEPS} steps, ${batch} batch`, async () => {
          const network = seededNetwork(cell, layers);
          const observations = sequence(network, 7);
          const expected = computed(network, observations);
          using backend = await open(network, dynamicBatch);
          const state = backend.createState();
          const actions: number[] = [];
          const action = new Float32Array(network.actionSize);
          for (const observation of observations) {
            await backend.infer(observation, action, state, 1);
            actions.push(...action);
          }
          const errors = actions.map((value, i) => Math.abs(value - present(expected[i])));
          expect([actions.length, Math.max(...errors) <= 1e-5]).toEqual([expected.length, true]);
        });
      }
    }
  }

  test("names its state h and c, shape [layers, batch, hidden]", () => {
    const shapes = (network: Network, dynamicBatch: boolean) => {
      const { graph } = modelOf(network, { dynamicBatch });
      const list = (values: typeof graph.input) =>
        (values ?? []).map(({ name, type }) => {
          const dims = type?.tensorType?.shape?.dim ?? [];
          return [name, ...dims.map(({ dimValue, dimParam }) => dimValue ?? dimParam)].join(" ");
        });
      return [list(graph.input), list(graph.output)];
    };
    expect([
      shapes(seededNetwork("lstm", 2), false),
      shapes(seededNetwork("gru", 1), true),
    ]).toEqual([
      [
        ["obs 1 3", "h_in 2 1 5", "c_in 2 1 5"],
        ["action 1 2", "h_out 2 1 5", "c_out 2 1 5"],
      ],
      [
        ["obs batch 3", "h_in 1 batch 5"],
        ["action batch 2", "h_out 1 batch 5"],
      ],
    ]);
  });

  test("is read back with its state", () => {
    expect(policyShape(modelOf(seededNetwork("lstm", 2))).state).toEqual([
      { input: "h_in", output: "h_out", shape: [2, 1, 5] },
      { input: "c_in", output: "c_out", shape: [2, 1, 5] },
    ]);
  });
});

describe("the ONNX backend of a recurrent policy", () => {
  const network = seededNetwork("lstm", 2);

  test("begins anew with each state, and mixes no two of them", async () => {
    using backend = await open(network, false);
    const clients = [sequence(network, 1), sequence(network, 2)];
    const states = clients.map(() => backend.createState());
    const interleaved: number[][] = [[], []];
    const action = new Float32Array(network.actionSize);
    for (let step = 0; step < STEPS; step++) {
      for (const [i, observations] of clients.entries()) {
        await backend.infer(present(observations[step]), action, present(states[i]), 1);
        present(interleaved[i]).push(...action);
      }
    }
    const alone: number[][] = [];
    for (const observations of clients) {
      const state = backend.createState();
      const actions: number[] = [];
      for (const observation of observations) {
        await backend.infer(observation, action, state, 1);
        actions.push(...action);
      }
      alone.push(actions);
    }
    expect(interleaved).toEqual(alone);
  });

  test("asserts one row at a time, and a state of its own", async () => {
    using backend = await open(network, true);
    const [two, action] = [new Float32Array(6), new Float32Array(4)];
    const batch = async () => backend.infer(two, action, backend.createState(), 2);
    const foreign = async () =>
      backend.infer(two.subarray(3), action.subarray(2), { tensors: [] }, 1);
    await expect(batch()).rejects.toThrow("a recurrent policy acts one row at a time");
    await expect(foreign()).rejects.toThrow("a state of another backend");
  });

  test("leaves the state as it was when it fails", async () => {
    const backend = await open(network, false);
    const state = backend.createState();
    present(state.tensors[0]).fill(0.5);
    backend[Symbol.dispose]();
    const act = async () => backend.infer(new Float32Array(3), new Float32Array(2), state, 1);
    await expect(act()).rejects.toThrow("the backend is closed");
    expect(state.tensors.map((tensor) => Array.from(new Set(tensor)))).toEqual([[0.5], [0]]);
  });
});
