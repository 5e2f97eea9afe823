/**
 * ONNX graph → the steps of the `mlp` backend, or why it does not fit: a chain of dense layers and
 * functions of vectors, as export writes them, with constants beside them.
 */

import { FormatError } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import { HALF_PANEL, type Combinations, type Maps } from "./mlp_kernel/kernel.ts";
import { createDraft, type NodeReader } from "./mlp_node.ts";
import type { PolicyShape } from "./policy_shape.ts";

/** `width` floats of a row, from the `from`-th of a buffer. */
export interface Vector {
  readonly buffer: number;
  readonly from: number;
  readonly width: number;
}

/** A vector, or a constant of its width. */
export type Operand = Vector | Float32Array;

export type Step = DenseStep | MapStep | CombineStep | StandardizeStep;

export interface DenseStep {
  readonly kind: "dense";
  readonly x: Vector;
  readonly y: Vector;
  /** Shape [outputs, inputs], row-major. */
  readonly weight: Float32Array;
  /** Shape [outputs]. */
  readonly bias: Float32Array;
}

export interface MapStep {
  readonly kind: "map";
  readonly op: keyof Maps;
  readonly x: Vector;
  readonly y: Vector;
  readonly a: number;
  readonly b: number;
}

export interface CombineStep {
  readonly kind: "combine";
  readonly op: keyof Combinations;
  readonly left: Operand;
  readonly right: Operand;
  readonly y: Vector;
}

/** To mean 0 and variance 1, as the first half of a layer normalization. */
export interface StandardizeStep {
  readonly kind: "standardize";
  readonly x: Vector;
  readonly y: Vector;
  readonly epsilon: number;
}

export interface MlpPlan {
  /** Floats that a row has in each buffer; the first is the observation. */
  readonly widths: readonly number[];
  readonly steps: readonly Step[];
  readonly action: Vector;
}

/** Broadcasting is as today from this version on, and so are the operators below. */
const OPSET_MIN = 7;
/** Floats of weights with their padding: 1 GiB. WebAssembly's memory ends at four. */
const WEIGHTS_MAX = 1 << 28;

/** Throws FormatError (UNSUPPORTED) saying what does not fit. */
export function planMlp(model: OnnxModel, shape: PolicyShape): MlpPlan {
  const opset = Number(model.opsetImport?.find(({ domain }) => isStandard(domain))?.version ?? 1);
  if (opset < OPSET_MIN) misfit(`its opset is ${opset}, need ${OPSET_MIN}`);
  if (shape.state.length > 0) misfit("it is recurrent");
  const draft = createDraft(model, shape, misfit);
  for (const node of model.graph.node ?? []) {
    const plan = isStandard(node.domain) ? OPERATORS[node.opType ?? ""] : undefined;
    draft.read(node, plan ?? refuseOperator);
  }
  const action = draft.vector(shape.output.name);
  if (action?.width !== shape.actionSize) {
    misfit(`its output has ${action?.width ?? "no"} values, ${shape.actionSize} are declared`);
  }
  const weights = draft.steps.reduce((sum, step) => sum + weightFloats(step), 0);
  if (weights > WEIGHTS_MAX) misfit(`it has ${weights} weights, at most ${WEIGHTS_MAX} fit`);
  return { widths: draft.widths, steps: draft.steps, action };
}

function misfit(reason: string): never {
  throw new FormatError(
    `it does not fit the mlp backend: ${reason}; the onnx backend runs it`,
    "UNSUPPORTED",
  );
}

const isStandard = (domain = ""): boolean => domain === "" || domain === "ai.onnx";

const weightFloats = (step: Step): number =>
  step.kind === "dense" ? step.x.width * (step.y.width + HALF_PANEL) : 0;

/** Reads one node and adds its steps. */
export type Plan = (node: NodeReader) => void;

const refuseOperator: Plan = (node) => node.refuse("is no part of a multi-layer perceptron");

const map =
  (op: keyof Maps, parameters: (node: NodeReader) => readonly [number, number]): Plan =>
  (node) => {
    const x = node.vector(0);
    const [a, b] = parameters(node);
    const y = node.buffer(x.width);
    node.push({ kind: "map", op, x, y, a, b });
    node.define(0, y);
  };

const combine =
  (op: keyof Combinations): Plan =>
  (node) => {
    const { width } = node.vector(node.isConstant(0) ? 1 : 0);
    const [left, right] = [node.operand(0, width), node.operand(1, width)];
    const y = node.buffer(width);
    node.push({ kind: "combine", op, left, right, y });
    node.define(0, y);
  };

/** Every operator that export writes; constants without an attribute are the standard's. */
const OPERATORS: Readonly<Record<string, Plan>> = {
  Gemm(node) {
    for (const name of ["alpha", "beta"]) {
      if (node.float(name, 1) !== 1) node.refuse(`has ${name} ${node.float(name, 1)}, need 1`);
    }
    if (node.int("transA", 0) !== 0) node.refuse("transposes its input");
    planDense(node, node.int("transB", 0) !== 0);
  },
  MatMul: (node) => planDense(node, false),
  Elu: map("elu", (node) => [node.float("alpha", 1), 1]),
  Selu: map("elu", (node) => {
    const gamma = node.float("gamma", 1.0507009873554805);
    return [node.float("alpha", 1.6732632423543772) * gamma, gamma];
  }),
  LeakyRelu: map("leakyRelu", (node) => [node.float("alpha", 0.01), 0]),
  Relu: map("clip", () => [0, Infinity]),
  Clip: map("clip", (node) => [limit(node, 1, "min", -Infinity), limit(node, 2, "max", Infinity)]),
  Tanh: map("tanh", () => [0, 0]),
  Sigmoid: map("sigmoid", () => [0, 0]),
  Softplus: map("softplus", () => [0, 0]),
  Erf: map("erf", () => [0, 0]),
  Add: combine("add"),
  Sub: combine("sub"),
  Mul: combine("mul"),
  Div: combine("div"),
  LayerNormalization: planLayerNorm,
  Split: planSplit,
  Identity: (node) => node.define(0, node.vector(0)),
};

/** A limit of Clip: an input, or an attribute as before opset 11. */
function limit(node: NodeReader, index: number, name: string, standard: number): number {
  return node.has(index) ? (node.constant(index, 1)[0] ?? standard) : node.float(name, standard);
}

function planDense(node: NodeReader, isTransposed: boolean): void {
  const x = node.vector(0);
  const { rows, columns, values } = node.matrix(1);
  const [outputs, inputs] = isTransposed ? [rows, columns] : [columns, rows];
  if (inputs !== x.width) node.refuse(`takes ${inputs} values, its input has ${x.width}`);
  const weight = isTransposed ? values : transpose(values, rows, columns);
  const bias = node.has(2) ? node.constant(2, outputs) : new Float32Array(outputs);
  const y = node.buffer(outputs);
  node.push({ kind: "dense", x, y, weight, bias });
  node.define(0, y);
}

function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const turned = new Float32Array(values.length);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = values[row * columns + column] ?? 0;
    }
  }
  return turned;
}

function planLayerNorm(node: NodeReader): void {
  const x = node.vector(0);
  if (![1, -1].includes(node.int("axis", -1))) node.refuse("is not over the columns");
  if (node.int("stash_type", 1) !== 1) node.refuse("is not in float32");
  const scale = node.constant(1, x.width);
  const bias = node.has(2) ? node.constant(2, x.width) : undefined;
  const [centred, scaled] = [node.buffer(x.width), node.buffer(x.width)];
  node.push({ kind: "standardize", x, y: centred, epsilon: node.float("epsilon", 1e-5) });
  node.push({ kind: "combine", op: "mul", left: centred, right: scale, y: scaled });
  if (bias !== undefined) {
    node.push({ kind: "combine", op: "add", left: scaled, right: bias, y: scaled });
  }
  node.define(0, scaled);
}

/** The parts of a split are where they were: no step is needed. */
function planSplit(node: NodeReader): void {
  const x = node.vector(0);
  if (![1, -1].includes(node.int("axis", 0))) node.refuse("splits rows, not columns");
  const widths = node.has(1) ? node.integers(1) : node.ints("split");
  const sum = widths.reduce((total, width) => total + width, 0);
  if (sum !== x.width || widths.some((width) => width < 1)) {
    node.refuse(`splits ${x.width} values into [${widths.join(", ")}]`);
  }
  let from = x.from;
  widths.forEach((width, index) => {
    node.define(index, { buffer: x.buffer, from, width });
    from += width;
  });
}
