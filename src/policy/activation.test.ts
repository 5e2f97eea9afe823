import { describe, expect, test } from "bun:test";
import { refusalOf } from "../base/refusal_fixture.ts";
import { activate, npuProblem, parseActivation, type PlainActivation } from "./activation.ts";

const INPUTS = [-4.5, -1, 0, 1, 2.5];

/** torch.nn's definitions, computed with CPython's math module (its own erf, expm1, log1p). */
const EXPECTED: Readonly<Record<PlainActivation, readonly number[]>> = {
  elu: [-0.9888910034617577, -0.6321205588285577, 0, 1, 2.5],
  relu: [0, 0, 0, 1, 2.5],
  tanh: [-0.9997532108480275, -0.7615941559557649, 0, 0.7615941559557649, 0.9866142981514303],
  sigmoid: [0.01098694263059318, 0.2689414213699951, 0.5, 0.7310585786300049, 0.9241418199787566],
  selu: [-1.738568621356017, -1.1113307378125625, 0, 1.0507009873554805, 2.626752468388701],
  celu: [-0.9888910034617577, -0.6321205588285577, 0, 1, 2.5],
  leaky_relu: [-0.045, -0.01, 0, 1, 2.5],
  softplus: [
    0.011047744848593817,
    0.31326168751822286,
    Math.LN2,
    1.3132616875182228,
    2.5788897342925496,
  ],
  gelu: [-0.000015289529061324192, -0.15865525393145707, 0, 0.8413447460685429, 2.4844758366855597],
  silu: [-0.049441241837669306, -0.2689414213699951, 0, 0.7310585786300049, 2.3103545499468914],
  mish: [-0.049712829307341215, -0.30340146137410895, 0, 0.8650983882673103, 2.471392304557881],
  identity: INPUTS,
};

/** At −1000 and 1000: nothing overflows on the way. */
const FAR: Readonly<Record<PlainActivation, readonly [number, number]>> = {
  elu: [-1, 1000],
  relu: [0, 1000],
  tanh: [-1, 1],
  sigmoid: [0, 1],
  selu: [-1.7580993408473766, 1050.7009873554805],
  celu: [-1, 1000],
  leaky_relu: [-10, 1000],
  softplus: [0, 1000],
  gelu: [0, 1000],
  silu: [0, 1000],
  mish: [0, 1000],
  identity: [-1000, 1000],
};

describe("activate()", () => {
  for (const [name, values] of Object.entries(EXPECTED)) {
    const activation = name as PlainActivation;
    test(`computes ${name} as torch defines it`, () => {
      expect(INPUTS.map((x) => activate(activation, x))).toEqual(
        values.map((value) => expect.closeTo(value, 14)),
      );
    });

    test(`keeps ${name} finite far from zero, and NaN NaN`, () => {
      // −0 is as good as 0 here.
      expect([-1000, 1000, Number.NaN].map((x) => activate(activation, x) + 0)).toEqual([
        ...FAR[activation],
        Number.NaN,
      ]);
    });
  }

  test("computes gelu where the error function changes its method", () => {
    // x · Φ(x), Φ from CPython's math.erfc; √2 · 3 and √2 · 6 are where erf() switches.
    const inputs = [4.24, 4.25, -4.24, -4.25, 8.48, 8.49];
    expect(inputs.map((x) => activate("gelu", x))).toEqual(
      [
        4.239952613805232, 4.249954573765456, -0.00004738619476819118, -0.00004542623454347133,
        8.48, 8.49,
      ].map((value) => expect.closeTo(value, 13)),
    );
  });
});

describe("parseActivation()", () => {
  test("knows the names of torch, rsl_rl and rl_games in any case", () => {
    const names = ["ELU", " crelu", "LeakyReLU", "leaky-relu", "lrelu", "swish", "None", "linear"];
    expect(names.map((name) => parseActivation(name, "--activation"))).toEqual([
      "elu",
      "celu",
      "leaky_relu",
      "leaky_relu",
      "leaky_relu",
      "silu",
      "identity",
      "identity",
    ]);
  });

  test("knows the spellings of Python, with arguments that change nothing", () => {
    const spellings = [
      "nn.ELU",
      "torch.nn.ELU",
      "ELU()",
      "nn.ELU(alpha=1.0, inplace=True)",
      "torch.nn.modules.activation.ELU",
      "<class 'torch.nn.modules.activation.ELU'>",
      "F.elu",
    ];
    expect(spellings.map((name) => parseActivation(name, "--activation"))).toEqual(
      spellings.map(() => "elu"),
    );
    expect(
      ["GELU(approximate='none')", "Softplus(beta=1, threshold=20)", "nn.LeakyReLU(0.01)"].map(
        (name) => parseActivation(name, "--activation"),
      ),
    ).toEqual(["gelu", "softplus", "leaky_relu"]);
  });

  test("keeps another constant of elu and leaky_relu, and computes with it", () => {
    const found = ["ELU(alpha=0.5)", "elu(0.5)", "LeakyReLU(negative_slope=0.2, inplace=True)"].map(
      (name) => parseActivation(name, "--activation"),
    );
    expect(found).toEqual(["elu(0.5)", "elu(0.5)", "leaky_relu(0.2)"]);
    expect(found.map((activation) => [-1, 2].map((x) => activate(activation, x)))).toEqual([
      [expect.closeTo(-0.31606027941427883, 14), 2],
      [expect.closeTo(-0.31606027941427883, 14), 2],
      [-0.2, 2],
    ]);
    expect(found.map((activation) => parseActivation(activation, "the file"))).toEqual(found);
  });

  test("refuses an argument that would change another", async () => {
    const refuse = async (name: string) =>
      (await refusalOf(() => parseActivation(name, "--activation"))).message;
    expect([
      await refuse("Softplus(beta=2)"),
      await refuse("GELU(approximate='tanh')"),
      await refuse("ELU(alpha=x)"),
    ]).toEqual([
      'Cannot use activation "softplus(beta=2)" from --activation: "beta=2" is not known of ' +
        "softplus, only elu and leaky_relu take a constant",
      `Cannot use activation "gelu(approximate='tanh')" from --activation: "approximate='tanh'" ` +
        "is not known of gelu, only elu and leaky_relu take a constant",
      'Cannot use activation "elu(alpha=x)" from --activation: "alpha=x" is not known of elu, ' +
        "only elu and leaky_relu take a constant",
    ]);
  });

  test("takes every activation by its own name", () => {
    const names = Object.keys(EXPECTED);
    expect(names.map((name) => parseActivation(name, "--activation"))).toEqual(
      names as PlainActivation[],
    );
  });

  test("refuses an unknown name with the nearest", async () => {
    const known =
      "elu, relu, tanh, sigmoid, selu, celu, crelu, leaky_relu, leakyrelu, lrelu, softplus, " +
      "gelu, silu, swish, mish, identity, linear, none";
    const refuse = (name: string) => refusalOf(() => parseActivation(name, '"actor.yaml"'));
    for (const [name, nearest] of [
      ["tahn", "tanh"],
      ["sigmod", "sigmoid"],
      ["leaky_rel", "leaky_relu"],
    ] as const) {
      expect(await refuse(name)).toEqual({
        code: "CONFIG",
        message:
          `Cannot use activation "${name}" from "actor.yaml": unknown, the nearest is ` +
          `${nearest}, need one of ${known}`,
      });
    }
  });

  test("takes no name of an object's prototype", async () => {
    expect((await refusalOf(() => parseActivation("constructor", "--activation"))).code).toBe(
      "CONFIG",
    );
  });
});

test("npuProblem() names what the NPU does not compute", () => {
  const activations = ["elu", "celu", "selu", "elu(0.5)", "leaky_relu(0.2)"] as const;
  expect(activations.map(npuProblem)).toEqual([
    undefined,
    undefined,
    "selu does not run on the NPU",
    "elu(0.5) does not run on the NPU, which computes elu with alpha 1 only",
    undefined,
  ]);
});
