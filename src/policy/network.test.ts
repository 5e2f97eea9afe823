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

  test("cuts off a normalised value at the limit", () => {
    const normalize = {
      kind: "normalize",
      mean: Float32Array.of(1, -1),
      divisor: Float32Array.of(2, 0.5),
      limit: 3,
    } as const;
    const network = networkOf(normalize, linear("actor.0", [[1, 0]], [0]));
    const second = networkOf(normalize, linear("actor.0", [[0, 1]], [0]));
    expect([
      ...evaluate(network, [5, 0]),
      ...evaluate(network, [100, 0]),
      ...evaluate(second, [0, -100]),
    ]).toEqual([2, 3, -3]);
  });

  test("normalises a layer over its values, divides by n and adds eps below the root", () => {
    const twice = linear("actor.0", [[1], [-1]], [0, 0]);
    const norm = {
      kind: "layer_norm",
      name: "actor.1",
      weight: Float32Array.of(1, 2),
      bias: Float32Array.of(0, 10),
      epsilon: 7,
    } as const;
    // Values 3 and −3: mean 0, variance 9, so the divisor is √16.
    expect([...evaluate(networkOf(twice, norm), [3])]).toEqual([0.75, 8.5]);
  });

  test("takes the mean of a distribution, and stretches to the bounds of the actions", () => {
    const head = linear("actor.0", [[1], [2], [0], [0]], [0, 0, 0, 0]);
    const gaussian = { kind: "distribution", distribution: "gaussian", size: 2 } as const;
    const beta = { ...gaussian, distribution: "beta" } as const;
    const affine = {
      kind: "affine",
      scale: Float32Array.of(2, 0.5),
      offset: Float32Array.of(-1, 4),
    } as const;
    const share = (x: number) => {
      const [a, b] = [Math.log(1 + Math.exp(x)) + 1, Math.log(2) + 1];
      return expect.closeTo((2 * a) / (a + b) - 1, 14) as number;
    };
    expect([
      [...evaluate(networkOf(head, gaussian), [1.5])],
      [...evaluate(networkOf(head, beta), [1.5])],
      [...evaluate(networkOf(head, gaussian, affine), [1.5])],
    ]).toEqual([
      [1.5, 3],
      [share(1.5), share(3)],
      [2, 5.5],
    ]);
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
