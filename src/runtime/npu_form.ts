/**
 * The model as the NPU runs it: every product of a weight becomes one Gemm with its weight as
 * [outputs, inputs] and a bias, and constant factors beside it go into both, as rknn-toolkit2
 * does. A rounding of weights, and a comparison with those of a file, must come after that.
 *
 * Learned from files of toolkit 2.5.0: `x / c → Gemm` loses its division and `Gemm → · c → + c`
 * its product and sum, in float32; a subtraction before the Gemm stays. MatMul and Add are one.
 */

import { assert, present } from "../base/assert.ts";
import {
  DATA_TYPE,
  makeNode,
  makeTensor,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  tensorFloats,
  tensorValues,
} from "../formats/onnx.ts";

/** What the NPU computes in the same pass as the Gemm before it. */
const ACTIVATIONS: ReadonlySet<string> = new Set(
  "Elu Relu LeakyRelu Tanh Sigmoid Softplus HardSwish HardSigmoid Mish".split(" "),
);

export interface NpuLayer {
  /** Of the weight's initializer, without `.weight`. */
  readonly name: string;
  /** `Gemm`, or with the activation that is fused into it: `Gemm+Elu`. */
  readonly op: string;
  /** What the layer gives: the activation's output, or the Gemm's if there is none. */
  readonly output: string;
  /** The Gemm's output, and what is computed from it up to `output`. */
  readonly within: readonly string[];
  readonly input: string;
  readonly weightName: string;
  readonly biasName: string;
  readonly outputs: number;
  readonly inputs: number;
  /** Row-major, shape [outputs, inputs]. */
  readonly weight: Float32Array;
  /** Shape [outputs]. */
  readonly bias: Float32Array;
}

export interface NpuForm {
  readonly model: OnnxModel;
  /** In the order of the graph. */
  readonly layers: readonly NpuLayer[];
}

/** Rewrites a copy. A model without Gemm or MatMul has no layers. */
export function npuForm(model: OnnxModel): NpuForm {
  const graph = openGraph(model);
  let changed = true;
  while (changed) changed = graph.nodes().some((node) => foldProduct(graph, node));
  for (const node of graph.nodes()) turnRound(graph, node);
  const form = graph.model();
  const layers = graph.nodes().flatMap((node) => readLayer(graph, node) ?? []);
  return { model: form, layers };
}

/** Nodes and constants under change; every value has one producer. */
interface EditedGraph {
  nodes(): OnnxNode[];
  model(): OnnxModel;
  /** A constant of floats, or nothing. */
  constant(name: string | undefined): { dims: number[]; values: Float32Array } | undefined;
  producer(name: string | undefined): OnnxNode | undefined;
  /** The only node that takes the value; nothing if there are several, or it leaves the graph. */
  onlyUser(name: string): OnnxNode | undefined;
  users(name: string): OnnxNode[];
  isUsed(name: string): boolean;
  /** Puts `by` in the place of the last of `old`, and takes those away. */
  replace(
    old: readonly OnnxNode[],
    by: readonly OnnxNode[],
    constants: readonly OnnxTensor[],
  ): true;
  /** A constant of whole numbers, or nothing. */
  integers(name: string | undefined): number[] | undefined;
}

function openGraph(model: OnnxModel): EditedGraph {
  let nodes = [...(model.graph.node ?? [])];
  let tensors = new Map((model.graph.initializer ?? []).map((one) => [one.name ?? "", one]));
  const outputs = new Set((model.graph.output ?? []).map(({ name }) => name ?? ""));
  const isFloat = (tensor: OnnxTensor): boolean => tensor.dataType === DATA_TYPE.float32;
  const users = (name: string) => nodes.filter(({ input = [] }) => input.includes(name));
  return {
    nodes: () => nodes,
    model() {
      const used = new Set(nodes.flatMap(({ input = [] }) => input));
      const initializer = [...tensors.values()].filter(({ name = "" }) => used.has(name));
      return { ...model, graph: { ...model.graph, node: nodes, initializer, valueInfo: [] } };
    },
    constant(name) {
      const tensor = tensors.get(name ?? "");
      if (tensor === undefined || !isFloat(tensor)) return undefined;
      return { dims: (tensor.dims ?? []).map(Number), values: tensorFloats(tensor) };
    },
    producer: (name) => nodes.find(({ output = [] }) => output.includes(name ?? "")),
    users,
    isUsed: (name) => outputs.has(name) || users(name).length > 0,
    onlyUser(name) {
      const [first, ...more] = users(name);
      return more.length === 0 && !outputs.has(name) ? first : undefined;
    },
    integers(name) {
      const tensor = tensors.get(name ?? "");
      return tensor && Array.from(tensorValues(tensor).data, Number);
    },
    replace(old, by, constants) {
      const last = present(old.at(-1));
      nodes = nodes.flatMap((one) => (one === last ? by : old.includes(one) ? [] : one));
      tensors = new Map([...tensors, ...constants.map((one) => [one.name ?? "", one] as const)]);
      return true;
    },
  };
}

/** A Gemm(x, W, b) with transB, as every rewriting leaves it. */
interface Product {
  readonly node: OnnxNode;
  readonly weightName: string;
  readonly biasName: string;
  readonly outputs: number;
  readonly inputs: number;
  readonly weight: Float32Array;
  readonly bias: Float32Array;
}

/** One step towards the NPU's form; false if there is none at this node. */
function foldProduct(graph: EditedGraph, node: OnnxNode): boolean {
  if (node.opType !== "MatMul" && node.opType !== "Gemm") return false;
  const product = readProduct(graph, node);
  if (product === undefined) return false;
  if (!isNormal(graph, node)) return replaceProduct(graph, [node], product, product);
  return foldBefore(graph, product) || foldBehind(graph, product) || split(graph, product);
}

/** `x / c` is `x · (1 / c)` and `x − c` is `x + (−c)`: what is rounded is the other constant. */
function turnRound(graph: EditedGraph, node: OnnxNode): void {
  if (node.opType !== "Div" && node.opType !== "Sub") return;
  const [value = "", name = ""] = node.input ?? [];
  const constant = graph.constant(name);
  const width = constant?.values.length ?? 0;
  const row = readRow(constant, width);
  if (row === undefined || width < 2) return;
  const isDivision = node.opType === "Div";
  const turned = makeTensor(
    `${name}/${isDivision ? "reciprocal" : "negative"}`,
    [1, width],
    row.map((c) => (isDivision ? 1 / c : -c)),
  );
  const options = node.name === undefined ? {} : { name: node.name };
  const opType = isDivision ? "Mul" : "Add";
  const input = [value, turned.name ?? ""];
  graph.replace([node], [makeNode(opType, input, node.output ?? [], options)], [turned]);
}

function isNormal(graph: EditedGraph, node: OnnxNode): boolean {
  const { input = [], attribute = [] } = node;
  const isTransposed = attribute.some(({ name, i }) => name === "transB" && Number(i) === 1);
  return (
    node.opType === "Gemm" &&
    isTransposed &&
    attribute.length === 1 &&
    graph.constant(input[2])?.dims.length === 1
  );
}

/** The product as [outputs, inputs] and a bias, zeros where there is none. */
function readProduct(graph: EditedGraph, node: OnnxNode): Product | undefined {
  const [, weightName = "", biasName = ""] = node.input ?? [];
  const weight = graph.constant(weightName);
  if (weight === undefined || weight.dims.length !== 2) return undefined;
  const number = (key: string, otherwise: number): number => {
    const found = (node.attribute ?? []).find(({ name }) => name === key);
    return found === undefined ? otherwise : Number(found.f ?? found.i ?? 0);
  };
  const isGemm = node.opType === "Gemm";
  if (isGemm && number("transA", 0) === 1) return undefined;
  const isTransposed = isGemm && number("transB", 0) === 1;
  const [first = 0, second = 0] = weight.dims;
  const [outputs, inputs] = isTransposed ? [first, second] : [second, first];
  const bias = biasName === "" ? undefined : graph.constant(biasName);
  if (biasName !== "" && bias === undefined) return undefined;
  const broadcast = bias && readRow(bias, outputs);
  if (bias !== undefined && broadcast === undefined) return undefined;
  const [alpha, beta] = isGemm ? [number("alpha", 1), number("beta", 1)] : [1, 1];
  const own = { node, weightName, outputs, inputs };
  return {
    ...own,
    biasName: biasName || `${weightName.replace(/\.weight$/, "")}.bias`,
    weight: inRows(weight.values, own, isTransposed, alpha),
    bias: Float32Array.from({ length: outputs }, (_, i) => beta * (broadcast?.[i] ?? 0)),
  };
}

/** The weight as [outputs, inputs], times a factor. */
function inRows(
  values: Float32Array,
  { outputs, inputs }: { readonly outputs: number; readonly inputs: number },
  isTransposed: boolean,
  factor: number,
): Float32Array {
  if (isTransposed && factor === 1) return values;
  return values.map((_, i) => {
    const at = isTransposed ? i : (i % inputs) * outputs + Math.floor(i / inputs);
    return factor * (values[at] as number);
  });
}

/** A constant that is the same for every row, as one row of `width`; nothing for another. */
function readRow(
  constant: { readonly dims: readonly number[]; readonly values: Float32Array } | undefined,
  width: number,
): Float32Array | undefined {
  if (constant === undefined) return undefined;
  const { dims, values } = constant;
  if (values.length === 1) return new Float32Array(width).fill(present(values[0]));
  const isRow = values.length === width && (dims.at(-1) ?? 1) === width;
  return isRow ? values : undefined;
}

/** `x / c → Gemm` and `x · c → Gemm`. */
function foldBefore(graph: EditedGraph, product: Product): boolean {
  const { node, weight, inputs } = product;
  const before = graph.producer(node.input?.[0]);
  if (before?.opType !== "Div" && before?.opType !== "Mul") return false;
  if (graph.onlyUser(before.output?.[0] ?? "") !== node || isGelu(graph, before)) return false;
  const operands = readOperands(graph, before, inputs);
  if (operands === undefined) return false;
  const { value, row } = operands;
  const isDivision = before.opType === "Div";
  const folded = weight.map((w, i) => {
    const factor = present(row[i % inputs]);
    return isDivision ? w / factor : w * factor;
  });
  return replaceProduct(graph, [before, node], product, { ...product, weight: folded }, value);
}

/** The half of x · (1 + erf(x / √2)) / 2: the toolkit takes it into an operator of its own. */
function isGelu(graph: EditedGraph, half: OnnxNode): boolean {
  const behind = (nodes: readonly OnnxNode[]): OnnxNode[] =>
    nodes.flatMap(({ input = [] }) => input.flatMap((name) => graph.producer(name) ?? []));
  const isOf = (opType: string) => (node: OnnxNode) => node.opType === opType;
  const products = behind([half]).filter(isOf("Mul"));
  return behind(behind(products).filter(isOf("Add"))).some(isOf("Erf"));
}

/** `Gemm → · c`, `/ c`, `+ c`, `− c`. */
function foldBehind(graph: EditedGraph, product: Product): boolean {
  const { node, weight, bias, inputs, outputs } = product;
  const behind = graph.onlyUser(node.output?.[0] ?? "");
  if (behind === undefined || !/^(?:Mul|Div|Add|Sub)$/.test(behind.opType ?? "")) return false;
  const operands = readOperands(graph, behind, outputs);
  if (operands === undefined) return false;
  const apply = (x: number, output: number): number => {
    const c = present(operands.row[output]);
    if (behind.opType === "Mul") return x * c;
    if (behind.opType === "Div") return x / c;
    return behind.opType === "Add" ? x + c : x - c;
  };
  const isFactor = behind.opType === "Mul" || behind.opType === "Div";
  return replaceProduct(graph, [node, behind], product, {
    ...product,
    node: { ...node, output: behind.output ?? [] },
    weight: isFactor ? weight.map((w, i) => apply(w, Math.floor(i / inputs))) : weight,
    bias: bias.map(apply),
  });
}

/** `Gemm → Split`: a Gemm for each part that somebody takes. */
function split(graph: EditedGraph, product: Product): boolean {
  const { node, weight, bias, inputs, outputs, weightName, biasName } = product;
  const behind = graph.onlyUser(node.output?.[0] ?? "");
  if (behind?.opType !== "Split") return false;
  const attribute = (key: string) => behind.attribute?.find(({ name }) => name === key);
  const sizes = graph.integers(behind.input?.[1]) ?? attribute("split")?.ints?.map(Number) ?? [];
  const isOfColumns = [1, -1].includes(Number(attribute("axis")?.i ?? 0));
  const names = behind.output ?? [];
  if (!isOfColumns || sizes.length !== names.length) return false;
  if (sizes.reduce((sum, size) => sum + size, 0) !== outputs) return false;
  const tensors: OnnxTensor[] = [];
  const parts = names.flatMap((name, index) => {
    const from = sizes.slice(0, index).reduce((sum, size) => sum + size, 0);
    const to = from + present(sizes[index]);
    if (!graph.isUsed(name) || to === from) return [];
    const [ownWeight, ownBias] = [`${weightName}/${name}`, `${biasName}/${name}`];
    const rows = weight.slice(from * inputs, to * inputs);
    tensors.push(makeTensor(ownWeight, [to - from, inputs], rows));
    tensors.push(makeTensor(ownBias, [to - from], bias.slice(from, to)));
    const given = [node.input?.[0] ?? "", ownWeight, ownBias];
    const label = `${node.name ?? "Gemm"}/${name}`;
    return makeNode("Gemm", given, [name], { name: label, attributes: { transB: 1 } });
  });
  return graph.replace([node, behind], parts, tensors);
}

/** The value and the constant row of a binary node; only sums and products may be turned round. */
function readOperands(graph: EditedGraph, node: OnnxNode, width: number) {
  const [a = "", b = ""] = node.input ?? [];
  const second = readRow(graph.constant(b), width);
  if (second !== undefined) return { value: a, row: second };
  const isCommutative = node.opType === "Mul" || node.opType === "Add";
  const first = isCommutative ? readRow(graph.constant(a), width) : undefined;
  return first && { value: b, row: first };
}

function replaceProduct(
  graph: EditedGraph,
  old: readonly OnnxNode[],
  before: Product,
  after: Product,
  value = before.node.input?.[0] ?? "",
): true {
  const { node, outputs, inputs, weightName, biasName } = after;
  // A constant that others take too keeps its own name for them.
  const isShared = (name: string) => graph.users(name).some((user) => user !== before.node);
  const own = (name: string) => (isShared(name) ? `${name}/${node.output?.[0] ?? ""}` : name);
  const [weight, bias] = [own(weightName), own(biasName)];
  const gemm = makeNode("Gemm", [value, weight, bias], node.output ?? [], {
    ...(node.name === undefined ? {} : { name: node.name }),
    attributes: { transB: 1 },
  });
  return graph.replace(
    old,
    [gemm],
    [makeTensor(weight, [outputs, inputs], after.weight), makeTensor(bias, [outputs], after.bias)],
  );
}

/** The layer of a Gemm in the NPU's form, with the activation that is fused into it. */
function readLayer(graph: EditedGraph, node: OnnxNode): NpuLayer | undefined {
  const product = node.opType === "Gemm" ? readProduct(graph, node) : undefined;
  if (product === undefined) return undefined;
  const { weightName, biasName, outputs, inputs, weight, bias } = product;
  const sum = node.output?.[0] ?? "";
  assert(sum !== "", "a Gemm without an output");
  const { within, op } = fusedActivation(graph, sum);
  const name = weightName.replace(/\.weight$/, "");
  const parts = { name, weightName, biasName, outputs, inputs, weight, bias, within };
  const input = node.input?.[0] ?? "";
  return { ...parts, input, output: within.at(-1) ?? sum, op: op === "" ? "Gemm" : `Gemm+${op}` };
}

/** A unary activation that alone takes the sum, or x · sigmoid(x). */
function fusedActivation(
  graph: EditedGraph,
  sum: string,
): { readonly within: string[]; readonly op: string } {
  const only = graph.onlyUser(sum);
  if (only !== undefined && ACTIVATIONS.has(only.opType ?? "")) {
    return { within: [sum, only.output?.[0] ?? ""], op: only.opType ?? "" };
  }
  const gate = graph.users(sum).find(({ opType }) => opType === "Sigmoid")?.output?.[0];
  const product = gate === undefined ? undefined : graph.onlyUser(gate);
  const isSwish =
    product?.opType === "Mul" &&
    graph.users(sum).length === 2 &&
    product.input?.includes(sum) === true;
  if (!isSwish) return { within: [sum], op: "" };
  return { within: [sum, gate ?? "", product.output?.[0] ?? ""], op: "Swish" };
}
