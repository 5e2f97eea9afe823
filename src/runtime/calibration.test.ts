import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { refusalOf } from "../base/refusal_fixture.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { affineOf, calibrate, quantize, roundHalfEven } from "./calibration.ts";

describe("calibrate()", () => {
  const values = ["obs", "actor.0/Gemm", "elu.1/Elu", "action"];
  const rows = Float32Array.of(1, 2, -3, 0.5);

  test.each([false, true])("gives ranges that hold 0, batch dynamic: %p", async (dynamicBatch) => {
    const model = modelOf(TINY_NETWORK, { dynamicBatch });
    const ranges = await calibrate(model, rows, values, "normal");
    const near = (min: number, max: number) => ({
      min: expect.closeTo(min, 5),
      max: expect.closeTo(max, 5),
    });
    // By hand: [1, 2] gives [5.5, -2, 1], [-3, 0.5] gives [-1.5, 1.25, 1].
    expect(Object.fromEntries(ranges)).toEqual({
      obs: near(-3, 2),
      "actor.0/Gemm": near(-2, 5.5),
      "elu.1/Elu": near(Math.expm1(-2), 5.5),
      action: near(2 * Math.expm1(-1.5) + 1.25 - 0.25 + 0.125, 11 + Math.expm1(-2) - 0.125),
    });
  });

  test("takes the rows of a recurrent model as one sequence", async () => {
    const model = modelOf(seededNetwork("lstm", 2));
    const names = ["h_in", "h_out", "action"];
    const once = Float32Array.of(0.5, -1, 2);
    const thrice = Float32Array.of(...once, ...once, ...once);
    const [one, three] = [
      await calibrate(model, once, names, "normal"),
      await calibrate(model, thrice, names, "normal"),
    ];
    expect(one.get("h_in")).toEqual({ min: 0, max: 0 });
    expect(three.get("h_in")?.max).toBeGreaterThan(0);
    expect(three.get("h_out")?.max).toBeGreaterThan(one.get("h_out")?.max as number);
  });

  test("says which value is not finite", async () => {
    const big = Float32Array.of(3e38, 3e38);
    const run = () => calibrate(modelOf(TINY_NETWORK), big, ["actor.0/Gemm"], "normal");
    expect(await refusalOf(run)).toEqual({
      code: "CHECK_FAILED",
      message:
        "Cannot calibrate: actor.0/Gemm becomes Infinity on the calibration set, " +
        "need finite numbers",
    });
  });
});

describe("affineOf()", () => {
  test("gives the scales and zero points that the toolkit wrote", () => {
    // small.w8a8.rknn: what it is calibrated to, and what it keeps.
    expect([
      affineOf({ min: -3.297121286392212, max: 3.8555338382720947 }),
      affineOf({ min: -0.97819584608078, max: 3.3971049785614014 }),
      affineOf({ min: 0, max: 3.9098401069641113 }),
    ]).toEqual([
      { scale: Math.fround(0.02804962731897831), zeroPoint: -10 },
      { scale: Math.fround(0.017158042639493942), zeroPoint: -71 },
      { scale: Math.fround(0.015332706272602081), zeroPoint: -128 },
    ]);
  });

  test("takes a value that is always 0", () => {
    expect(affineOf({ min: 0, max: 0 })).toEqual({ scale: 1, zeroPoint: 0 });
  });

  test("keeps every value of its range within a step, and 0 exactly", () => {
    const number = fc.double({ min: -100, max: 100, noNaN: true });
    fc.assert(
      fc.property(number, number, fc.double({ min: 0, max: 1, noNaN: true }), (a, b, share) => {
        const [min, max] = [Math.min(a, b, 0), Math.max(a, b, 0)];
        fc.pre(max - min > 1e-3);
        const affine = affineOf({ min, max });
        const x = min + share * (max - min);
        const real = (quantize(x, affine) - affine.zeroPoint) * affine.scale;
        return (
          Math.abs(real - x) <= affine.scale * 1.01 && quantize(0, affine) === affine.zeroPoint
        );
      }),
    );
  });
});

test("roundHalfEven() rounds as ONNX does", () => {
  expect([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999, -1.2].map(roundHalfEven)).toEqual([
    -2, -2, 0, 0, 2, 2, 2, -1,
  ]);
});
