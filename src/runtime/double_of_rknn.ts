/**
 * A real .rknn, or an ONNX model, as a model of the test double: the same weights, the same
 * numbers between the layers, spelled out.
 */

import { present } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import { encodeRknnDouble, type DoubleLayer, type Rounding } from "../formats/rknn_double.ts";
import type { RknnGraph, RknnGraphTensor } from "../formats/rknn_graph.ts";
import { plainBias, readInt8Rows } from "./int8_scales.ts";
import { npuForm, type NpuLayer } from "./npu_form.ts";
import { policyShape } from "./policy_shape.ts";
import { matchLayers, type RknnLayer, readRknnLayers } from "./rknn_layers.ts";

/** Operators around the layers that change no number. */
const SILENT: ReadonlySet<string> = new Set(["InputOperator", "OutputOperator", "Reshape"]);
const ACTIVATIONS = ["elu", "relu", "tanh", "sigmoid", "identity"] as const;
const FLOAT16: Rounding = { kind: "float16" };
const NONE: Rounding = { kind: "none" };

/**
 * @param onnx what the file was converted from; int8 weights need it, since the file does not hold
 *   their scales
 * @returns the bytes of the double's file
 */
export function doubleOfRknn(bytes: Uint8Array, onnx?: OnnxModel): Uint8Array<ArrayBuffer> {
  const { graph, layers } = readRknnLayers(bytes);
  checkChain(graph);
  const models = onnx === undefined ? [] : npuForm(onnx).layers;
  const matched = new Map([...matchLayers(layers, models)].map(([model, layer]) => [layer, model]));
  return encodeRknnDouble({
    of: graph.file.document.name ?? "a .rknn",
    inputs: ends(graph, "InputOperator"),
    outputs: ends(graph, "OutputOperator"),
    layers: layers.map((layer) => layerOfRknn(layer, matched.get(layer))),
  });
}

/** A model of dense layers in float16. */
export function doubleOfOnnx(onnx: OnnxModel): Uint8Array<ArrayBuffer> {
  const { input, output, observationSize, actionSize, state } = policyShape(onnx);
  const { model, layers } = npuForm(onnx);
  const nodes = layers.reduce((sum, { op }) => sum + op.split("+").length, 0);
  if (state.length > 0 || nodes !== (model.graph.node ?? []).length) {
    throw new FormatError(
      "it has more than dense layers, need a feed-forward policy",
      "UNSUPPORTED",
    );
  }
  return encodeRknnDouble({
    of: "an ONNX model",
    inputs: [{ name: input.name, shape: [1, observationSize], rounding: FLOAT16 }],
    outputs: [{ name: output.name, shape: [1, actionSize], rounding: FLOAT16 }],
    layers: layers.map(({ op, inputs, outputs, weight, bias }) => ({
      kind: "dense",
      inputs,
      outputs,
      activation: activationOf(op.split("+")[1] ?? ""),
      sum: FLOAT16,
      result: FLOAT16,
      weight: weight.map(Math.f16round),
      bias,
    })),
  });
}

/** Throws unless the layers follow each other with nothing else between them. */
function checkChain({ operators }: RknnGraph): void {
  const other = operators.find(({ type }) => !SILENT.has(type) && !type.startsWith("Conv"));
  if (other !== undefined) {
    throw new FormatError(
      `operator ${quote(other.type)} is nothing the double has, need dense layers`,
      "UNSUPPORTED",
    );
  }
  for (const [i, { name, inputs }] of operators.entries()) {
    const before = operators[i - 1]?.outputs[0];
    if (i > 0 && inputs[0] !== before) {
      throw new FormatError(
        `operator ${quote(name)} does not follow the one before`,
        "UNSUPPORTED",
      );
    }
  }
}

function ends({ operators }: RknnGraph, type: "InputOperator" | "OutputOperator") {
  return operators
    .filter((operator) => operator.type === type)
    .flatMap(({ inputs, outputs }) => (type === "InputOperator" ? outputs : inputs))
    .map((tensor) => ({ name: tensor.name, shape: tensor.shape, rounding: roundingOf(tensor) }));
}

function roundingOf({ name, dtype, quantization }: RknnGraphTensor): Rounding {
  if (dtype === "float16") return FLOAT16;
  if (dtype === "int8" && quantization !== undefined) return { kind: "int8", ...quantization };
  throw new FormatError(`tensor ${quote(name)} is ${dtype}, need float16 or int8`, "UNSUPPORTED");
}

function layerOfRknn(layer: RknnLayer, model: NpuLayer | undefined): DoubleLayer {
  const { operator, matrix } = layer;
  const { inputs, outputs } = matrix;
  const result = roundingOf(present(operator.outputs[0]));
  const shared = {
    kind: "dense",
    inputs,
    outputs,
    activation: activationOf(operator.type.slice("Conv".length)),
    // int8 is rounded once, behind the activation; float16 before it too.
    sum: result.kind === "float16" ? result : NONE,
    result,
  } as const;
  if (matrix.dtype === "float16") {
    return {
      ...shared,
      weight: matrix.values as Float32Array,
      bias: Float32Array.from(layer.bias.values),
    };
  }
  return { ...shared, ...int8Parameters(layer, model) };
}

function int8Parameters(
  { operator, name, matrix, bias }: RknnLayer,
  model: NpuLayer | undefined,
): Pick<DoubleLayer, "weight" | "bias"> {
  const input = operator.inputs[0]?.quantization;
  if (model === undefined || input === undefined) {
    throw new FormatError(
      `the scales of int8 weight ${quote(name)} are not in the file, need the ONNX model that it ` +
        "was converted from",
      "UNSUPPORTED",
    );
  }
  const rows = readInt8Rows(model, matrix, bias);
  return {
    weight: Float32Array.from(
      rows.flatMap(({ steps, scale }) => Array.from(steps, (s) => s * scale)),
    ),
    bias: Float32Array.from(rows, ({ steps, scale }, row) => {
      return plainBias(present(bias.values[row]), input.zeroPoint, steps) * input.scale * scale;
    }),
  };
}

function activationOf(name: string): DoubleLayer["activation"] {
  const found = ACTIVATIONS.find((one) => one === (name === "" ? "identity" : name.toLowerCase()));
  if (found !== undefined) return found;
  throw new FormatError(`activation ${quote(name)} is nothing the double has`, "UNSUPPORTED");
}
