/**
 * Activations: their names in the field (rsl_rl, rl_games, SB3, torch), their scalar function, and
 * the ONNX nodes (opset 18) that compute exactly that function.
 *
 * Definitions and default constants are those of torch.nn of the same name.
 */

import { closest } from "fastest-levenshtein";
import { Lite3Error, quote } from "../base/errors.ts";

export type Activation =
  | "elu"
  | "relu"
  | "tanh"
  | "sigmoid"
  | "selu"
  | "celu"
  | "leaky_relu"
  | "softplus"
  | "gelu"
  | "silu"
  | "mish"
  | "identity";

interface Definition {
  readonly names: readonly string[];
  readonly apply: (x: number) => number;
  /** ONNX operators in order, each fed by the one before; `"*x"` multiplies by the input. */
  readonly onnx: readonly OnnxStep[];
}

export interface OnnxStep {
  readonly op: string;
  readonly attributes?: Readonly<Record<string, number>>;
  /** A second operand: the activation's own input, or a constant. */
  readonly with?: "input" | number;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** ln(1 + e^x) without overflow. */
const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
/** Constants of self-normalising networks (Klambauer et al. 2017), as in torch.nn.SELU. */
const SELU_ALPHA = 1.6732632423543772;
const SELU_SCALE = 1.0507009873554805;

const DEFINITIONS: Readonly<Record<Activation, Definition>> = {
  elu: {
    names: ["elu"],
    apply: (x) => (x > 0 ? x : Math.expm1(x)),
    onnx: [{ op: "Elu", attributes: { alpha: 1 } }],
  },
  relu: { names: ["relu"], apply: (x) => Math.max(x, 0), onnx: [{ op: "Relu" }] },
  tanh: { names: ["tanh"], apply: Math.tanh, onnx: [{ op: "Tanh" }] },
  sigmoid: { names: ["sigmoid"], apply: sigmoid, onnx: [{ op: "Sigmoid" }] },
  selu: {
    names: ["selu"],
    apply: (x) => SELU_SCALE * (x > 0 ? x : SELU_ALPHA * Math.expm1(x)),
    onnx: [{ op: "Selu", attributes: { alpha: SELU_ALPHA, gamma: SELU_SCALE } }],
  },
  celu: {
    names: ["celu", "crelu"],
    apply: (x) => (x > 0 ? x : Math.expm1(x)),
    onnx: [{ op: "Elu", attributes: { alpha: 1 } }],
  },
  leaky_relu: {
    names: ["leaky_relu", "leakyrelu", "lrelu"],
    apply: (x) => (x > 0 ? x : 0.01 * x),
    onnx: [{ op: "LeakyRelu", attributes: { alpha: 0.01 } }],
  },
  softplus: { names: ["softplus"], apply: softplus, onnx: [{ op: "Softplus" }] },
  gelu: {
    names: ["gelu"],
    apply: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
    onnx: [
      { op: "Div", with: Math.SQRT2 },
      { op: "Erf" },
      { op: "Add", with: 1 },
      { op: "Mul", with: "input" },
      { op: "Mul", with: 0.5 },
    ],
  },
  silu: {
    names: ["silu", "swish"],
    apply: (x) => x * sigmoid(x),
    onnx: [{ op: "Sigmoid" }, { op: "Mul", with: "input" }],
  },
  mish: {
    names: ["mish"],
    apply: (x) => x * Math.tanh(softplus(x)),
    onnx: [{ op: "Softplus" }, { op: "Tanh" }, { op: "Mul", with: "input" }],
  },
  identity: { names: ["identity", "linear", "none"], apply: (x) => x, onnx: [] },
};

/** Finds an activation by any of its names, or refuses with the nearest one. */
export function parseActivation(name: string, origin: string): Activation {
  const plain = name.trim().toLowerCase().replaceAll("-", "_");
  for (const [activation, { names }] of Object.entries(DEFINITIONS)) {
    if (names.includes(plain)) return activation as Activation;
  }
  const known = Object.values(DEFINITIONS).flatMap(({ names }) => names);
  throw new Lite3Error(
    "CONFIG",
    `Cannot use activation ${quote(name)} from ${origin}: unknown, the nearest is ` +
      `${closest(plain, known)}, need one of ${known.join(", ")}`,
  );
}

/** The scalar function, in double precision. */
export function activate(activation: Activation, x: number): number {
  return DEFINITIONS[activation].apply(x);
}

export function activationOnnx(activation: Activation): readonly OnnxStep[] {
  return DEFINITIONS[activation].onnx;
}

/**
 * The error function to double precision: its Taylor series below 3, and beyond that the continued
 * fraction of erfc (Abramowitz & Stegun 7.1.5 and 7.1.14).
 */
function erf(x: number): number {
  const size = Math.abs(x);
  if (size > 6) return Math.sign(x);
  if (size < 3) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum) && n < 200; n++) {
      term *= -(x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = size;
  for (let k = 60; k > 0; k--) fraction = size + k / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-x * x) / Math.sqrt(Math.PI) / fraction);
}
