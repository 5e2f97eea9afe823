/**
 * In which numbers the NPU keeps each value of a model, and the model rewritten to compute so:
 * standard ONNX, a pair of Cast nodes for float16 and QuantizeLinear with DequantizeLinear for
 * int8. Run by ONNX Runtime with optimisation off, so that nothing is fused away.
 *
 * float16: the input, every weight of two dimensions or more and every node's output are rounded
 * half to even; one-dimensional initializers, the biases, stay float32. int8: input and output of
 * a layer are q = round(x / scale) + zeroPoint within −128..127, weights likewise per output, the
 * bias is an int32 in units of both scales, and between the sum and its activation nothing is
 * rounded. What sums takes its inputs in float64.
 */

import {
  DATA_TYPE,
  makeNode,
  makeTensor,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  tensorFloats,
} from "../formats/onnx.ts";
import type { AffineQuantization } from "../formats/rknn_graph.ts";
import { OPSET_WITH_CHANNELS, raiseOpset } from "./onnx_opset.ts";

/** Weights and bias of one layer as the NPU holds them; `weight` is [outputs, inputs]. */
export interface Int8Layer {
  readonly weight: Int8Array;
  /** Shape [outputs] each. */
  readonly scales: Float32Array;
  readonly zeroPoints: Int8Array;
  readonly bias: Int32Array;
  /** Of a step of the bias: that of the input times that of the output's weights. */
  readonly biasScales: Float32Array;
}

export interface NpuNumbers {
  /** Values that somebody takes or gives as int8; all others are float16. */
  readonly int8: ReadonlyMap<string, AffineQuantization>;
  /** Of those, values that their producer gives as float16: converted where int8 is taken. */
  readonly float16: ReadonlySet<string>;
  /** Of the model's outputs, those that are computed in float16 and given as int8. */
  readonly converted: ReadonlySet<string>;
  /** Values inside of an int8 layer, which are not kept. */
  readonly within: ReadonlySet<string>;
  /** int8 layers, by their Gemm's output. */
  readonly layers: ReadonlyMap<string, Int8Layer>;
}

export const ALL_FLOAT16: NpuNumbers = {
  int8: new Map(),
  float16: new Set(),
  converted: new Set(),
  within: new Set(),
  layers: new Map(),
};

type Names = ReadonlySet<string>;

/** Operators that sum many products: the NPU loses nothing in between. */
const SUMS: ReadonlySet<string> = new Set(["Gemm", "MatMul"]);

/** Rewrites a copy of the model; `numbers` speaks of the names of this very model. */
export function inNumbers(model: OnnxModel, numbers: NpuNumbers): OnnxModel {
  const { graph } = model;
  const constants = new Set((graph.initializer ?? []).map(({ name }) => name));
  const outputs = new Set((graph.output ?? []).map(({ name }) => name ?? ""));
  const writer = createWriter(numbers);
  for (const { name = "" } of graph.input ?? []) {
    if (!constants.has(name)) writer.keep(name, name, undefined);
  }
  for (const node of graph.node ?? []) {
    const layer = numbers.layers.get(node.output?.[0] ?? "");
    if (layer === undefined) writeNode(writer, node, numbers, outputs);
    else writeLayer(writer, node, layer, outputs);
  }
  const replaced = new Set(
    [...numbers.layers.keys()].flatMap((name) => weightsOf(graph.node, name)),
  );
  const initializer = [
    ...(graph.initializer ?? [])
      .filter(({ name }) => !replaced.has(name))
      .map((tensor) => roundConstant(tensor, writer.takenByInt8.get(tensor.name ?? ""))),
    ...writer.tensors,
  ];
  const rewritten = {
    ...model,
    graph: { ...graph, node: writer.nodes, initializer, valueInfo: [] },
  };
  return numbers.int8.size === 0 ? rewritten : raiseOpset(rewritten, OPSET_WITH_CHANNELS);
}

/**
 * Under which name a value of the model that was rewritten is in the rewritten one, as it is kept;
 * nothing for what lies inside of a layer and is not kept.
 */
export function keptName({ graph }: OnnxModel, value: string): string | undefined {
  const given = new Set((graph.node ?? []).flatMap(({ output = [] }) => output));
  return [value, `${value}/int8`, `${value}/fp16`].find((name) => given.has(name));
}

const weightsOf = (nodes: readonly OnnxNode[] = [], output: string): (string | undefined)[] =>
  nodes.find((node) => node.output?.[0] === output)?.input?.slice(1) ?? [];

/** Collects the nodes; `keep` and `take` know under which name a value is there in which numbers. */
function createWriter({ int8, float16, converted, within }: NpuNumbers) {
  const nodes: OnnxNode[] = [];
  const tensors: OnnxTensor[] = [];
  /** Value → the names under which it has been written. */
  const written = new Map<string, Partial<Record<"float16" | "int8" | "exact", string>>>();
  const widened = new Set<string>();
  /** What nodes between int8 values take → their operator. */
  const takenByInt8 = new Map<string, string>();
  const isInt8 = (name: string): boolean => int8.has(name) && !float16.has(name);

  /** Rounds `from` to the numbers in which `value` is kept; `to` is its name if it has one. */
  function keep(value: string, from: string, to: string | undefined): void {
    if (within.has(value)) {
      written.set(value, { exact: from });
      return;
    }
    if (to !== undefined && converted.has(value)) {
      round(value, from, `${value}/fp16`, "float16");
      round(value, `${value}/fp16`, to, "int8");
      written.set(value, { float16: `${value}/fp16`, int8: to });
      return;
    }
    const kind = isInt8(value) ? "int8" : "float16";
    const name = to ?? `${value}/${kind === "int8" ? "int8" : "fp16"}`;
    round(value, from, name, kind);
    written.set(value, { [kind]: name });
  }

  function round(value: string, from: string, to: string, kind: "int8" | "float16"): void {
    const affine = int8.get(value);
    if (kind === "float16" || affine === undefined) {
      nodes.push(...roundingPair(from, to));
      return;
    }
    const [scale, zero] = [`${value}/scale`, `${value}/zero_point`];
    if (!tensors.some(({ name }) => name === scale)) {
      tensors.push(makeTensor(scale, [], Float32Array.of(affine.scale)));
      tensors.push(makeInts(zero, [], Int8Array.of(affine.zeroPoint)));
    }
    nodes.push(makeNode("QuantizeLinear", [from, scale, zero], [`${to}/q`], { name: `${to}/q` }));
    nodes.push(makeNode("DequantizeLinear", [`${to}/q`, scale, zero], [to], { name: to }));
  }

  /** The value's name in the numbers in which a node takes it, converted if it is not there. */
  function take(value: string, kind: "int8" | "float16"): string {
    const known = written.get(value);
    if (known === undefined) return value; // A constant, or an input that is left out.
    const wanted = kind === "int8" && !int8.has(value) ? "float16" : kind;
    const there = known.exact ?? known[wanted];
    if (there !== undefined) return there;
    const from = known.float16 ?? known.int8 ?? value;
    const name = `${value}/${wanted === "int8" ? "int8" : "fp16"}`;
    round(value, from, name, wanted);
    written.set(value, { ...known, [wanted]: name });
    return name;
  }

  /** The name of the value in float64, cast by a node that is added if there is none yet. */
  function widen(name: string): string {
    if (name === "") return ""; // An optional input that is left out.
    const wide = `${name}/wide`;
    if (!widened.has(name)) nodes.push(cast(name, wide, DATA_TYPE.float64));
    widened.add(name);
    return wide;
  }

  return { nodes, tensors, takenByInt8, keep, take, widen, isInt8 };
}

type Writer = ReturnType<typeof createWriter>;

/** A node in the numbers of what it gives. */
function writeNode(writer: Writer, node: OnnxNode, { within }: NpuNumbers, outputs: Names): void {
  const names = node.output ?? [];
  const isInt8 = names.some((name) => writer.isInt8(name) || within.has(name));
  const taken = (node.input ?? []).map((name) => writer.take(name, isInt8 ? "int8" : "float16"));
  if (isInt8) taken.forEach((name) => writer.takenByInt8.set(name, node.opType ?? ""));
  const input = SUMS.has(node.opType ?? "") ? taken.map(writer.widen) : taken;
  // An optional output that is left out, as an LSTM's, has no name.
  const output = names.map((name) => (name === "" ? "" : `${name}/exact`));
  writer.nodes.push({ ...node, input, output });
  keepOutputs(writer, node, outputs);
}

/** A Gemm of int8 weights with a bias of int32. */
function writeLayer(writer: Writer, node: OnnxNode, layer: Int8Layer, outputs: Names): void {
  const [input = "", weight = "", bias = ""] = node.input ?? [];
  const [name = ""] = node.output ?? [];
  const rows = layer.scales.length;
  const parameter = (of: string, ints: OnnxTensor, scales: Float32Array, zero?: OnnxTensor) => {
    const scale = makeTensor(`${of}/scale`, [rows], scales);
    writer.tensors.push(ints, scale, ...(zero === undefined ? [] : [zero]));
    const from = [ints, scale, zero].flatMap((tensor) => tensor?.name ?? []);
    const options = { name: of, attributes: { axis: 0 } };
    writer.nodes.push(makeNode("DequantizeLinear", from, [`${of}/real`], options));
    return writer.widen(`${of}/real`);
  };
  const value = writer.widen(writer.take(input, "int8"));
  const weights = parameter(
    weight,
    makeInts(`${weight}/int8`, [rows, layer.weight.length / rows], layer.weight),
    layer.scales,
    makeInts(`${weight}/zero_point`, [rows], layer.zeroPoints),
  );
  const sums = parameter(bias, makeInts(`${bias}/int32`, [rows], layer.bias), layer.biasScales);
  writer.nodes.push({ ...node, input: [value, weights, sums], output: [`${name}/sum`] });
  writer.nodes.push(cast(`${name}/sum`, `${name}/exact`, DATA_TYPE.float32));
  keepOutputs(writer, node, outputs);
}

/** Keeps what a node gave as `name/exact`. */
function keepOutputs(writer: Writer, node: OnnxNode, outputs: Names): void {
  for (const name of (node.output ?? []).filter(Boolean)) {
    writer.keep(name, `${name}/exact`, outputs.has(name) ? name : undefined);
  }
}

function roundingPair(from: string, to: string): OnnxNode[] {
  const half = `${to}/half`;
  return [cast(from, half, DATA_TYPE.float16), cast(half, to, DATA_TYPE.float32)];
}

function cast(from: string, to: string, type: number): OnnxNode {
  return makeNode("Cast", [from], [to], { name: to, attributes: { to: type } });
}

function makeInts(
  name: string,
  dims: readonly number[],
  values: Int8Array | Int32Array,
): OnnxTensor {
  const dataType = values instanceof Int8Array ? DATA_TYPE.int8 : DATA_TYPE.int32;
  const rawData = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
  return { dims: [...dims], dataType, name, rawData };
}

/**
 * Weights and other constants of two dimensions or more, as the nodes that take them hold them:
 * float16; between int8 values factors are int16 of one scale and summands int32, nearly exact.
 */
function roundConstant(tensor: OnnxTensor, inInt8: string | undefined): OnnxTensor {
  const { name = "" } = tensor;
  const dims = (tensor.dims ?? []).map(Number);
  if (tensor.dataType !== DATA_TYPE.float32 || dims.length < 2) return tensor;
  const values = tensorFloats(tensor);
  if (inInt8 === undefined) return makeTensor(name, dims, values.map(Math.f16round));
  if (inInt8 !== "Mul") return tensor;
  const scale = values.reduce((top, value) => Math.max(top, Math.abs(value)), 0) / 32_767 || 1;
  return makeTensor(
    name,
    dims,
    values.map((value) => Math.round(value / scale) * scale),
  );
}
