import { describe, expect, test } from "bun:test";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { choosePrecision, type PrecisionFlags } from "./precision.ts";

const choose = (flags: Partial<PrecisionFlags>) => choosePrecision({ doQuant: false, ...flags });
const basis = { algorithm: "normal", method: "channel" } as const;

describe("choosePrecision()", () => {
  test("takes fp16 unless something is said", () => {
    expect(choose({})).toEqual({ ...basis, precision: "fp16" });
  });

  test("takes --do-quant for w8a8, and a precision by its name", () => {
    expect([
      choose({ doQuant: true }),
      choose({ doQuant: true, precision: "hybrid" }),
      choose({ precision: "auto", algorithm: "kl_divergence", method: "layer" }),
      choose({ precision: "hybrid", layers: "a/b=fp16, c=x=float16,d=int8" }),
    ]).toEqual([
      { ...basis, precision: "w8a8" },
      { ...basis, precision: "hybrid" },
      { algorithm: "kl_divergence", method: "layer", precision: "auto" },
      { ...basis, precision: "hybrid", layers: ["a/b", "c=x"] },
    ]);
  });

  test("takes a dtype by its older names, and says what it is called now", async () => {
    const names = [
      "asymmetric_affine-u8",
      "asymmetric_quantized-u8",
      "asymmetric_quantized-8",
      "dynamic_fixed_point-i8",
      "dynamic_fixed_point-8",
    ];
    const lines = await linesDuring(() => {
      for (const quantDtype of [...names, "w8a8"]) {
        expect(choose({ doQuant: true, quantDtype })).toEqual({ ...basis, precision: "w8a8" });
      }
    });
    expect(lines).toEqual(
      names.map(
        (name) => `--quant-dtype ${name} is called w8a8 since toolkit 2.0, and converted as that`,
      ),
    );
  });

  const rk3588 =
    "the rk3588 quantises to w8a8 only; --precision fp16 is exact enough for nearly every policy";
  const refused: readonly [Partial<PrecisionFlags>, code: string, message: string][] = [
    [
      { doQuant: true, precision: "fp16" },
      "USAGE",
      "--do-quant contradicts --precision fp16: leave one of them out",
    ],
    [
      { doQuant: true, precision: "auto" },
      "USAGE",
      "--do-quant contradicts --precision auto: leave one of them out",
    ],
    [
      { quantDtype: "w8a8" },
      "USAGE",
      "--quant-dtype is for a quantised file, and without --do-quant it would be fp16: " +
        "add --do-quant, or leave --quant-dtype out",
    ],
    [
      { doQuant: true, quantDtype: "float16" },
      "USAGE",
      "--quant-dtype float16 is no quantisation: leave --do-quant and --quant-dtype out for a " +
        "float16 file",
    ],
    [
      { doQuant: true, quantDtype: "int9" },
      "USAGE",
      '--quant-dtype "int9" is unknown: need w8a8, or an older name of it: ' +
        "asymmetric_affine-u8, asymmetric_quantized-u8, asymmetric_quantized-8, " +
        "dynamic_fixed_point-i8, dynamic_fixed_point-8",
    ],
    ...["w4a16", "w8a16", "w16a16i", "dynamic_fixed_point-i16"].map(
      (quantDtype) =>
        [
          { doQuant: true, quantDtype },
          "UNSUPPORTED",
          `Cannot convert with --quant-dtype ${quantDtype}: ${rk3588}`,
        ] as [Partial<PrecisionFlags>, string, string],
    ),
    [
      { algorithm: "mmse" },
      "USAGE",
      "--algorithm is for a quantised file, and this one is fp16: add --precision w8a8",
    ],
    [
      { precision: "fp16", method: "layer" },
      "USAGE",
      "--method is for a quantised file, and this one is fp16: add --precision w8a8",
    ],
    [
      { doQuant: true, layers: "a=fp16" },
      "USAGE",
      "--layers names what stays float16 in a hybrid file: add --precision hybrid",
    ],
    ...["a", "=fp16", "a=int4", "a=fp16,,b=fp16"].map(
      (layers) =>
        [
          { precision: "hybrid", layers },
          "USAGE",
          `--layers has ${JSON.stringify(layers === "a=fp16,,b=fp16" ? "" : layers)}: ` +
            "need name=fp16, several separated by commas",
        ] as [Partial<PrecisionFlags>, string, string],
    ),
  ];
  for (const [flags, code, message] of refused) {
    test(`refuses ${JSON.stringify(flags)}`, async () => {
      expect(await refusalOf(() => choose(flags))).toEqual({ code: code as "USAGE", message });
    });
  }
});
