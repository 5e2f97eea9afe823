/**
 * Activations: their names in the field (rsl_rl, rl_games, SB3, torch), their scalar function, and
 * the ONNX nodes (opset 18) that compute exactly that function.
 *
 * Definitions and default constants are those of torch.nn of the same name. Another constant of
 * the two that are trained with others stands in the name: `elu(0.5)`, `leaky_relu(0.2)`.
 */

import { closest } from "fastest-levenshtein";
import { Lite3Error, quote } from "../base/errors.ts";

type Adjustable = "elu" | "leaky_relu";

export type Activation = PlainActivation | `${Adjustable}(${number})`;

/** With torch's own constants. */
export type PlainActivation =
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

type Formula = Pick<Definition, "apply" | "onnx">;

function elu(alpha: number): Formula {
  return {
    apply: (x) => (x > 0 ? x : alpha * Math.expm1(x)),
    onnx: [{ op: "Elu", attributes: { alpha } }],
  };
}

function leakyRelu(alpha: number): Formula {
  return {
    apply: (x) => (x > 0 ? x : alpha * x),
    onnx: [{ op: "LeakyRelu", attributes: { alpha } }],
  };
}

const ADJUSTABLE: Readonly<
  Record<Adjustable, { readonly standard: number; readonly formula: (alpha: number) => Formula }>
> = {
  elu: { standard: 1, formula: elu },
  leaky_relu: { standard: 0.01, formula: leakyRelu },
};

const DEFINITIONS: Readonly<Record<PlainActivation, Definition>> = {
  elu: { names: ["elu"], ...elu(1) },
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
    ...leakyRelu(0.01),
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

/** `ELU`, `nn.ELU()`, `F.elu`, `torch.nn.ELU(alpha=0.5)`, `<class 'torch.nn.…activation.ELU'>`. */
const SPELLING = /^(?:<class ')?(?:\w+\.)*(?<word>[\w-]+)(?:'>)?(?:\((?<args>[^()]*)\))?$/;

/** Arguments of torch's modules that change nothing where they have these values. */
const NO_CHANGE =
  /^(?:inplace=(?:True|False)|alpha=1(?:\.0*)?|approximate=['"]?none['"]?|beta=1(?:\.0*)?|threshold=20(?:\.0*)?|)$/;
/** The constant of ELU and LeakyReLU, by its name or alone. */
const CONSTANT = /^(?:(?:alpha|negative_slope)=)?(?<value>-?\d[\d.e+-]*)$/;

/** Finds an activation by any of its names and spellings, or refuses with the nearest one. */
export function parseActivation(name: string, origin: string): Activation {
  const { word = name, args = "" } = SPELLING.exec(name.trim())?.groups ?? {};
  const plain = word.trim().toLowerCase().replaceAll("-", "_");
  for (const [activation, { names }] of Object.entries(DEFINITIONS)) {
    if (names.includes(plain)) return withArguments(activation as PlainActivation, args, origin);
  }
  const known = Object.values(DEFINITIONS).flatMap(({ names }) => names);
  throw new Lite3Error(
    "CONFIG",
    `Cannot use activation ${quote(name)} from ${origin}: unknown, the nearest is ` +
      `${closest(plain, known)}, need one of ${known.join(", ")}`,
  );
}

function withArguments(activation: PlainActivation, args: string, origin: string): Activation {
  let found: Activation = activation;
  for (const argument of args.split(",").map((text) => text.replaceAll(/\s/g, ""))) {
    const value = CONSTANT.exec(argument)?.groups?.value;
    if (isAdjustable(activation) && value !== undefined && Number.isFinite(Number(value))) {
      found = adjusted(activation, Number(value));
    } else if (!NO_CHANGE.test(argument)) {
      throw new Lite3Error(
        "CONFIG",
        `Cannot use activation ${quote(`${activation}(${args})`)} from ${origin}: ` +
          `${quote(argument)} is not known of ${activation}, only elu and leaky_relu take a constant`,
      );
    }
  }
  return found;
}

function isAdjustable(activation: string): activation is Adjustable {
  return Object.hasOwn(ADJUSTABLE, activation);
}

/** The activation with that constant; under its plain name where the constant is torch's own. */
export function adjusted(activation: Adjustable, alpha: number): Activation {
  return alpha === ADJUSTABLE[activation].standard ? activation : `${activation}(${alpha})`;
}

function formulaOf(activation: Activation): Formula {
  if (Object.hasOwn(DEFINITIONS, activation)) return DEFINITIONS[activation as PlainActivation];
  const [name = "", constant] = activation.split(/[()]/, 2);
  return ADJUSTABLE[name as Adjustable].formula(Number(constant));
}

/** The scalar function, in double precision. */
export function activate(activation: Activation, x: number): number {
  return formulaOf(activation).apply(x);
}

export function activationOnnx(activation: Activation): readonly OnnxStep[] {
  return formulaOf(activation).onnx;
}

/** Why the NPU cannot run it, if so: its operators are those of rknn-toolkit2's operator list. */
export function npuProblem(activation: Activation): string | undefined {
  if (activation === "selu") return "selu does not run on the NPU";
  if (!activation.startsWith("elu(")) return undefined;
  return `${activation} does not run on the NPU, which computes elu with alpha 1 only`;
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
