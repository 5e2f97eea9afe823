/**
 * The nodes of an ONNX graph as `mlp_plan.ts` reads them: inputs that are vectors computed from
 * the observation, inputs that are constants, attributes. What a node has and nobody asks for does
 * not fit, so that no attribute is passed over.
 */

import { quote } from "../base/errors.ts";
import {
  DATA_TYPE,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  tensorFloats,
  tensorValues,
} from "../formats/onnx.ts";
import type { Operand, Plan, Step, Vector } from "./mlp_plan.ts";
import type { PolicyShape } from "./policy_shape.ts";

/** A node as its operator sees it; every method refuses what is not there as it is asked for. */
export interface NodeReader {
  has(input: number): boolean;
  isConstant(input: number): boolean;
  /** An input that is computed from the observation. */
  vector(input: number): Vector;
  /** A constant of shape [], [1], [width] or [1, width], as [width]. */
  constant(input: number, width: number): Float32Array;
  /** An input that is either. */
  operand(input: number, width: number): Operand;
  matrix(input: number): { rows: number; columns: number; values: Float32Array };
  integers(input: number): number[];
  float(name: string, standard: number): number;
  int(name: string, standard: number): number;
  ints(name: string): number[];
  /** A new vector. */
  buffer(width: number): Vector;
  push(step: Step): void;
  /** Gives an output's name to a vector. */
  define(output: number, vector: Vector): void;
  refuse(reason: string): never;
}

/** The steps so far, and the vectors by name. */
export interface Draft {
  readonly widths: number[];
  readonly steps: Step[];
  vector(name: string): Vector | undefined;
  read(node: OnnxNode, plan: Plan): void;
}

export function createDraft(
  model: OnnxModel,
  { input, observationSize }: PolicyShape,
  misfit: (reason: string) => never,
): Draft {
  const observation = { buffer: 0, from: 0, width: observationSize };
  const scope: Scope = {
    widths: [observationSize],
    steps: [],
    vectors: new Map([[input.name, observation]]),
    tensors: new Map(model.graph.initializer?.map((tensor) => [tensor.name ?? "", tensor])),
  };
  return {
    widths: scope.widths,
    steps: scope.steps,
    vector: (name) => scope.vectors.get(name),
    read(node, plan) {
      const refuse = (reason: string): never =>
        misfit(`node ${quote(node.name || node.output?.[0] || "")} (${node.opType}) ${reason}`);
      if (node.opType === "Constant") readConstant(scope, node, refuse);
      else readNode(scope, node, plan, refuse);
    },
  };
}

interface Scope {
  readonly widths: number[];
  readonly steps: Step[];
  readonly vectors: Map<string, Vector>;
  readonly tensors: Map<string, OnnxTensor>;
}

function readConstant({ tensors }: Scope, node: OnnxNode, refuse: NodeReader["refuse"]): void {
  const [attribute, ...more] = node.attribute ?? [];
  if (attribute?.name !== "value" || attribute.t === undefined || more.length > 0) {
    refuse("is no tensor");
  }
  tensors.set(node.output?.[0] ?? "", attribute.t);
}

function readNode(scope: Scope, node: OnnxNode, plan: Plan, refuse: NodeReader["refuse"]): void {
  const unread = new Set(node.attribute?.map(({ name = "" }) => name));
  const attribute = (name: string) => {
    unread.delete(name);
    return node.attribute?.find((one) => one.name === name);
  };
  plan({
    ...inputsOf(scope, node, refuse),
    float: (name, standard) => attribute(name)?.f ?? standard,
    int: (name, standard) => Number(attribute(name)?.i ?? standard),
    ints: (name) => (attribute(name)?.ints ?? []).map(Number),
    buffer: (width) => ({ buffer: scope.widths.push(width) - 1, from: 0, width }),
    push: (step) => void scope.steps.push(step),
    define: (output, vector) => void scope.vectors.set(node.output?.[output] ?? "", vector),
    refuse,
  });
  for (const name of unread) refuse(`has attribute ${quote(name)}`);
}

type Inputs = Pick<
  NodeReader,
  "has" | "isConstant" | "vector" | "constant" | "operand" | "matrix" | "integers"
>;

function inputsOf(scope: Scope, node: OnnxNode, refuse: NodeReader["refuse"]): Inputs {
  const nameOf = (input: number): string => node.input?.[input] ?? "";
  const isConstant = (input: number): boolean => scope.tensors.has(nameOf(input));
  const tensor = (input: number, dtype: number): OnnxTensor => {
    const found = scope.tensors.get(nameOf(input));
    if (found?.dataType === dtype) return found;
    return refuse(`takes ${quote(nameOf(input))}, which is no constant of the type needed`);
  };
  const vector = (input: number): Vector =>
    scope.vectors.get(nameOf(input)) ??
    refuse(`takes ${quote(nameOf(input))}, which is not computed from the observation`);
  const constant = (input: number, width: number): Float32Array => {
    const found = tensor(input, DATA_TYPE.float32);
    const dims = (found.dims ?? []).map(Number);
    const values = tensorFloats(found);
    const [last = 1, first = 1, ...more] = dims.toReversed();
    if (more.length > 0 || first !== 1 || (last !== 1 && last !== width)) {
      refuse(`takes ${quote(nameOf(input))} of shape [${dims.join(", ")}] for ${width} values`);
    }
    return last === width ? values : new Float32Array(width).fill(values[0] ?? 0);
  };
  return {
    has: (input) => nameOf(input) !== "",
    isConstant,
    vector,
    constant,
    operand(input, width) {
      if (isConstant(input)) return constant(input, width);
      const found = vector(input);
      return found.width === width ? found : refuse(`joins ${found.width} and ${width} values`);
    },
    matrix(input) {
      const found = tensor(input, DATA_TYPE.float32);
      const [rows = 0, columns = 0, ...more] = (found.dims ?? []).map(Number);
      const values = tensorFloats(found);
      if (rows * columns === 0 || more.length > 0) refuse("has no matrix as weight");
      return { rows, columns, values };
    },
    integers(input) {
      const { data } = tensorValues(tensor(input, DATA_TYPE.int64));
      return Array.from(data, Number);
    },
  };
}
