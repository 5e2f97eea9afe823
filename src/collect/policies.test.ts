import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { openActor } from "./policies.ts";

const directory = temporaryDirectory();
const SIZES = { observationSize: 2, actionSize: 1 } as const;

describe("openActor()", () => {
  test("random acts within −1..1, the same for the same seed", async () => {
    const draw = async (seed: number): Promise<number[]> => {
      using actor = await openActor("random", { ...SIZES, actionSize: 1000 }, seed, undefined);
      const action = new Float32Array(1000);
      await actor.act(new Float32Array(2), action);
      return [...action];
    };
    const values = await draw(1);
    expect(await draw(1)).toEqual(values);
    expect(await draw(2)).not.toEqual(values);
    expect(Math.min(...values)).toBeWithin(-1, -0.95);
    expect(Math.max(...values)).toBeWithin(0.95, 1);
  });

  test("random acts anew at each step", async () => {
    using actor = await openActor("random", { ...SIZES, actionSize: 3 }, 0, undefined);
    const [one, two] = [new Float32Array(3), new Float32Array(3)];
    await actor.act(new Float32Array(2), one);
    await actor.act(new Float32Array(2), two);
    expect(one).not.toEqual(two);
    expect(actor.label).toBe("random actions");
  });

  test("stand holds the default pose, whatever was in the array", async () => {
    using actor = await openActor("stand", SIZES, 0, undefined);
    const action = Float32Array.of(1, 2, 3);
    await actor.act(new Float32Array(2), action);
    expect(action).toEqual(Float32Array.of(0, 0, 0));
    expect(actor.label).toBe("the default pose held");
  });

  test("a model file acts as the model", async () => {
    const path = join(directory, "tiny.onnx");
    const model = modelOf(TINY_NETWORK, { metadata: { normalizer: "folded" } });
    writeFileSync(path, encodeOnnx(model));
    using actor = await openActor(path, SIZES, 0, undefined);
    const action = new Float32Array(1);
    await actor.act(Float32Array.of(1, 1), action);
    // ELU(3.5, −2.5, 1) · (2, 1, −0.25) + 0.125
    expect(action[0]).toBeCloseTo(7 + Math.expm1(-2.5) - 0.25 + 0.125, 5);
    expect(actor.label).toBe(path);

    expect(
      await refusalOf(() => openActor(path, { ...SIZES, actionSize: 12 }, 0, undefined)),
    ).toEqual({
      code: "CONFIG",
      message: `Cannot collect with "${path}": it is 2 → 1, the environment needs 2 → 12`,
    });
  });

  test("random draws within the environment's limits", async () => {
    const actionBounds = { low: [-2], high: [5] };
    using actor = await openActor("random", { ...SIZES, actionBounds }, 0, undefined);
    const drawn: number[] = [];
    const action = new Float32Array(1);
    for (let i = 0; i < 1000; i++) {
      await actor.act(new Float32Array(2), action);
      drawn.push(action[0] as number);
    }
    expect(Math.min(...drawn)).toBeWithin(-2, -1.9);
    expect(Math.max(...drawn)).toBeWithin(4.9, 5);
  });

  const need = "need random, stand, an .onnx file, module.path:Class or ./my_policy.ts";
  for (const [spec, near] of [
    ["ramdom", "random"],
    ["Stand", "stand"],
  ] as const) {
    test(`refuses ${spec}`, async () => {
      expect(await refusalOf(() => openActor(spec, SIZES, 0, undefined))).toEqual({
        code: "USAGE",
        message: `Cannot use policy "${spec}": did you mean ${near}? ${need}`,
      });
    });
  }

  test("refuses a model file that is not there", async () => {
    expect(await refusalOf(() => openActor("none.onnx", SIZES, 0, undefined))).toEqual({
      code: "NOT_FOUND",
      message: 'Cannot read "none.onnx": there is no such file, need a file',
    });
  });
});
