import { describe, expect, test } from "bun:test";
import { AssertionError } from "../base/assert.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { createNormalizer } from "../policy/normalizer.ts";
import { type Backend, tensorSpec } from "./backend.ts";
import { createPolicy } from "./policy.ts";

/** A backend of two observations that keeps what it was asked and answers `answer`. */
function scriptedBackend(answer: readonly number[]) {
  const asked: number[][] = [];
  let closed = 0;
  const backend: Backend = {
    name: "onnx",
    arithmetic: "cpu",
    subject: "file",
    inputs: [tensorSpec("obs", [1, 2])],
    outputs: [tensorSpec("action", [1, answer.length])],
    observationSize: 2,
    actionSize: answer.length,
    createState: () => ({ tensors: [] }),
    infer(observation, action, _state, rows) {
      asked.push([rows, ...observation]);
      action.set(answer);
    },
    [Symbol.dispose]: () => void closed++,
  };
  return { backend, asked, closed: () => closed };
}

const state = { tensors: [] };
const normalizer = createNormalizer({
  mean: Float32Array.of(1, -1),
  std: Float32Array.of(2, 0),
});

describe("createPolicy()", () => {
  test("normalises each observation once, and leaves the caller's as it is", async () => {
    const { backend, asked } = scriptedBackend([0.5, -0.5, 3]);
    using policy = createPolicy(backend, normalizer);
    const observation = Float32Array.of(5, -1.5);
    const action = new Float32Array(3);
    await policy.act(observation, action, state);
    await policy.act(observation, action, state);
    // (5 − 1) / 2, and (−1.5 − −1) / 0.001 in float32.
    expect([asked, [...observation], [...action]]).toEqual([
      [
        [1, 2, -499.9999694824219],
        [1, 2, -499.9999694824219],
      ],
      [5, -1.5],
      [0.5, -0.5, 3],
    ]);
  });

  test("hands observations on as they are where there is no normalizer", async () => {
    const { backend, asked } = scriptedBackend([1]);
    using policy = createPolicy(backend);
    await policy.act(Float32Array.of(5, -1.5), new Float32Array(1), state);
    const { observationSize, actionSize } = policy;
    expect([observationSize, actionSize, policy.normalizer, asked]).toEqual([
      2,
      1,
      undefined,
      [[1, 5, -1.5]],
    ]);
  });

  test("refuses an observation that is not finite, without asking the backend", async () => {
    const { backend, asked } = scriptedBackend([1]);
    using policy = createPolicy(backend, normalizer);
    const refuse = (...observation: number[]) =>
      refusalOf(() => policy.act(Float32Array.from(observation), new Float32Array(1), state));
    expect([await refuse(0, Number.NaN), await refuse(-Infinity, 0), asked]).toEqual([
      { code: "MALFORMED", message: "Cannot act: observation[1] is NaN, need finite numbers" },
      {
        code: "MALFORMED",
        message: "Cannot act: observation[0] is -Infinity, need finite numbers",
      },
      [],
    ]);
  });

  test("refuses an action that is not finite", async () => {
    using policy = createPolicy(scriptedBackend([1, Number.NaN]).backend);
    expect(
      await refusalOf(() => policy.act(new Float32Array(2), new Float32Array(2), state)),
    ).toEqual({ code: "NATIVE", message: "Cannot act: action[1] is NaN, need finite numbers" });
  });

  test("asserts the observation's length, so that no older one shows through", () => {
    const { backend, asked } = scriptedBackend([1]);
    using policy = createPolicy(backend);
    for (const length of [1, 3]) {
      const act = () => policy.act(new Float32Array(length), new Float32Array(1), state);
      expect(act).toThrow(AssertionError);
    }
    expect(asked).toEqual([]);
  });

  test("acts at once with a synchronous backend, and later with another", async () => {
    const { backend } = scriptedBackend([1]);
    const later = {
      ...backend,
      infer: async (...asked: Parameters<Backend["infer"]>) => {
        await Promise.resolve();
        backend.infer(...asked);
      },
    };
    const found = [backend, later].map((one) => {
      using policy = createPolicy(one);
      const action = new Float32Array(1);
      const running = policy.act(new Float32Array(2), action, state);
      return { running, action, atOnce: [...action] };
    });
    await Promise.all(found.map(({ running }) => running));
    expect(found).toEqual([
      { running: undefined, action: Float32Array.of(1), atOnce: [1] },
      { running: expect.any(Promise), action: Float32Array.of(1), atOnce: [0] },
    ]);
  });

  test("closes its backend", () => {
    const { backend, closed } = scriptedBackend([1]);
    createPolicy(backend)[Symbol.dispose]();
    expect(closed()).toBe(1);
  });
});
