/**
 * A .rknn run without an NPU: the emulation of its ONNX with the file's own weights, biases, zero
 * points and scales of values, in the numbers in which the file keeps each value.
 *
 * What the file does not say in the clear is assumed, and listed: the activation's curve, how the
 * NPU rounds, and the size of an int8 weight's step, of which the file holds shares only.
 */

import { present } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";
import { plural, tally, tallyText } from "../base/text.ts";
import { makeTensor, type OnnxModel, type OnnxTensor } from "../formats/onnx.ts";
import type { AffineQuantization, RknnGraph, RknnGraphTensor } from "../formats/rknn_graph.ts";
import type { Backend } from "./backend.ts";
import { gatesOf, openEmulation } from "./emulated.ts";
import { plainBias, readInt8Rows } from "./int8_scales.ts";
import { npuForm, type NpuLayer } from "./npu_form.ts";
import { inNumbers, type Int8Layer, type NpuNumbers } from "./npu_numbers.ts";
import { findConstant, modelConstants } from "./rknn_constants.ts";
import { matchLayers, type RknnLayer, readRknnLayers } from "./rknn_layers.ts";

export interface RknnEmulation {
  readonly backend: Backend;
  /** What the file itself says, and what is taken from elsewhere; one phrase each. */
  readonly fromFile: readonly string[];
  readonly assumed: readonly string[];
}

/**
 * Opens the emulation of a file. Throws FormatError for one that cannot be read, and CHECK_FAILED
 * where it is not the model's network at all.
 */
export async function openRknnEmulated(rknn: Uint8Array, model: OnnxModel): Promise<RknnEmulation> {
  const { graph, layers: fileLayers } = readRknnLayers(rknn);
  const { model: form, layers } = npuForm(model);
  const matched = matchLayers(fileLayers, layers);
  const missing = layers.filter((layer) => !matched.has(layer));
  if (layers.length === 0 || missing.length > 0) {
    const names = missing.map(({ name, outputs, inputs }) => `${name} [${outputs}, ${inputs}]`);
    throw new FormatError(
      `it has no layer for ${names.join(", ") || "any weights"}, ` +
        `but ${plural(fileLayers.length, "layer")} of other shapes`,
      "CHECK_FAILED",
    );
  }
  const pairs = layers.map((layer) => [layer, present(matched.get(layer))] as const);
  const unknown: string[] = [];
  const others = modelConstants(form, layers).flatMap((one) => {
    const found = findConstant(graph, one);
    if (found === undefined) unknown.push(one.name);
    return found === undefined ? [] : makeTensor(one.name, one.dims, found.values);
  });
  const constants = new Map(
    [...pairs.flatMap(float16Constants), ...others].map((one) => [one.name, one]),
  );
  const initializer = (form.graph.initializer ?? []).map((one) => constants.get(one.name) ?? one);
  const own = { ...form, graph: { ...form.graph, initializer } };
  const numbers = readNumbers(graph, own, pairs);
  const backend = await openEmulation(inNumbers(own, numbers), "file");
  return { backend, ...describe(pairs, numbers, unknown) };
}

type Pair = readonly [NpuLayer, RknnLayer];

function float16Constants([layer, { matrix, bias }]: Pair): OnnxTensor[] {
  if (matrix.dtype !== "float16") return [];
  const { weightName, biasName, outputs, inputs } = layer;
  return [
    makeTensor(weightName, [outputs, inputs], matrix.values as Float32Array),
    makeTensor(biasName, [outputs], bias.values as Float32Array),
  ];
}

/** In which numbers the file keeps every value, and its int8 layers. */
function readNumbers(graph: RknnGraph, form: OnnxModel, pairs: readonly Pair[]): NpuNumbers {
  const int8 = new Map<string, AffineQuantization>();
  const float16 = new Set<string>();
  const kept = new Set<string>();
  const keep = (value: string, tensor: RknnGraphTensor | undefined): void => {
    if (tensor === undefined) return;
    kept.add(value);
    if (tensor.dtype === "float16") float16.add(value);
    // Given as float16, a value is converted for those who take it in int8.
    const inInt8 =
      tensor.dtype === "int8"
        ? tensor
        : graph.tensors.find(({ name }) => name === `${tensor.name}__int8`);
    if (inInt8?.quantization !== undefined) int8.set(value, inInt8.quantization);
  };
  const inLayers = new Set(pairs.flatMap(([{ within }]) => within));
  const values = [
    ...(form.graph.input ?? []).map(({ name = "" }) => name),
    ...(form.graph.node ?? []).flatMap(({ output = [] }) => output),
  ];
  for (const value of values) if (!inLayers.has(value)) keep(value, findTensor(graph, value));
  const layers = new Map<string, Int8Layer>();
  for (const [layer, file] of pairs) {
    const sum = present(layer.within[0]);
    const isFused = file.operator.type !== "Conv";
    keep(isFused ? layer.output : sum, file.operator.outputs[0]);
    if (!isFused && layer.output !== sum) keep(layer.output, findTensor(graph, layer.output));
    const input = file.operator.inputs[0]?.quantization;
    if (file.matrix.dtype === "float16" || input === undefined) continue;
    layers.set(sum, int8Layer(layer, file, input));
    if (!int8.has(layer.input)) int8.set(layer.input, input);
  }
  const converted = graph.file.outputs.flatMap(({ name, dtype }) =>
    dtype === "int8" && float16.has(name) ? name : [],
  );
  return { int8, float16, layers, converted: new Set(converted), within: innerValues(pairs, kept) };
}

/** What lies inside of int8 layers, unless the file keeps it: and the gates of x · sigmoid(x). */
function innerValues(pairs: readonly Pair[], kept: ReadonlySet<string>): Set<string> {
  const ofInt8 = pairs
    .filter(([, { matrix }]) => matrix.dtype === "int8")
    .flatMap(([{ within }]) => within.slice(0, -1));
  const gates = gatesOf(pairs.map(([layer]) => layer));
  return new Set([...ofInt8.filter((name) => !kept.has(name)), ...gates]);
}

/** The toolkit calls the tensor of value X "X", "X-rs", "X_mm" or the like. */
function findTensor(graph: RknnGraph, value: string): RknnGraphTensor | undefined {
  const isOf = (name: string): boolean =>
    name.startsWith(value) && /^(?:[-_](?:rs|mm|tp|sw)|#\d+)*$/.test(name.slice(value.length));
  return graph.tensors.find(({ name, content }) => content === undefined && isOf(name));
}

/** The file's numbers, with what the input's zero point added to the bias taken out again. */
function int8Layer(
  layer: NpuLayer,
  { matrix, bias }: RknnLayer,
  input: AffineQuantization,
): Int8Layer {
  const rows = readInt8Rows(layer, matrix, bias);
  return {
    weight: matrix.values as Int8Array,
    scales: Float32Array.from(rows, ({ scale }) => scale),
    zeroPoints: Int8Array.from(rows, ({ zeroPoint }) => zeroPoint),
    bias: Int32Array.from(rows, ({ steps }, row) =>
      plainBias(present(bias.values[row]), input.zeroPoint, steps),
    ),
    biasScales: Float32Array.from(rows, ({ scale }) => input.scale * scale),
  };
}

function describe(
  pairs: readonly Pair[],
  numbers: NpuNumbers,
  unknown: readonly string[],
): { fromFile: string[]; assumed: string[] } {
  const dtypes = tally(pairs.map(([, { matrix }]) => matrix.dtype));
  const activations = new Set(pairs.map(([{ op }]) => op.replace(/^Gemm\+?/, "")).filter(Boolean));
  const hasInt8 = numbers.layers.size > 0;
  return {
    fromFile: [
      `weights (${tallyText(dtypes)})`,
      "biases",
      "which layers are int8 and which float16",
      ...(numbers.int8.size > 0 ? ["scales and zero points of values"] : []),
      ...(hasInt8 ? ["zero points of weights, and the shares of their scales"] : []),
    ],
    assumed: [
      ...[...activations].map((name) => `the ONNX's activation ${quote(name)} is computed exactly`),
      "float16 rounds half to even after every product and activation, sums lose nothing",
      ...(unknown.length === 0
        ? []
        : [`${unknown.join(", ")} are the ONNX's, not found in the file`]),
      ...(hasInt8 ? ["the size of a step of int8 weights, from the ONNX's weights"] : []),
    ],
  };
}
