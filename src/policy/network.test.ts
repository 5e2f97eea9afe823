import { describe, expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import { describeWidths, evaluate, type Network, parameterCount } from "./network.ts";
import {
  demoNetwork,
  linear,
  networkOf,
  readGoldenActions,
  TINY_NETWORK,
} from "./policy_fixture.ts";

describe("evaluate()", () => {
  test("multiplies, adds and activates", () => {
    // Hidden: [1·1 + 2·0.5 + 0.5, −1 + 0.25 − 2, 1] = [2.5, −2.75, 1]; ELU(−2.75) = e^−2.75 − 1.
    expect([...evaluate(TINY_NETWORK, [1, 0.5])]).toEqual([
      2 * 2.5 + (Math.exp(-2.75) - 1) - 0.25 + 0.125,
    ]);
  });

  test("normalises first where that is folded in", () => {
    const normalize = {
      kind: "normalize",
      mean: Float32Array.of(1, -1),
      divisor: Float32Array.of(2, 0.5),
    } as const;
    const network = networkOf(
      normalize,
      linear(
        "actor.0",
        [
          [1, 0],
          [0, 1],
          [1, 1],
        ],
        [0, 0, 0],
      ),
    );
    expect([...evaluate(network, [3, 1])]).toEqual([1, 4, 5]);
  });

  test("leaves the observation as it is", () => {
    const observation = Float32Array.of(1, 0.5);
    evaluate(TINY_NETWORK, observation);
    expect([...observation]).toEqual([1, 0.5]);
  });

  test("asserts the observation's width", () => {
    expect(() => evaluate(TINY_NETWORK, [1])).toThrow(
      new AssertionError("observation has the wrong width"),
    );
  });

  test("gives the demo policy's golden actions", async () => {
    const network = await demoNetwork();
    const { rows, normalised, actions } = await readGoldenActions();
    const computed = Array.from({ length: rows }, (_, row) => [
      ...evaluate(network, normalised.subarray(row * 45, (row + 1) * 45)),
    ]).flat();
    const worst = computed.reduce((max, x, i) => Math.max(max, Math.abs(x - actions[i]!)), 0);
    expect([rows, computed.length, worst <= 1e-5]).toEqual([256, 3072, true]);
  });
});

test("describeWidths() and parameterCount() count what is learned, not the normalizer", () => {
  const folded: Network = {
    ...TINY_NETWORK,
    layers: [
      { kind: "normalize", mean: new Float32Array(2), divisor: new Float32Array(2).fill(1) },
      ...TINY_NETWORK.layers,
    ],
  };
  expect([TINY_NETWORK, folded].map((it) => [describeWidths(it), parameterCount(it)])).toEqual([
    ["2-3-1", 13],
    ["2-3-1", 13],
  ]);
});
