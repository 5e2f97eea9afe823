/**
 * A model as the NPU computes it, emulated: the same graph in the NPU's form and numbers, written
 * as standard ONNX and run by ONNX Runtime on the CPU.
 *
 * Measured against the toolkit's own simulator: float16 agrees bit for bit in 98.9 % of values, at
 * most 9.8e-4 apart (sums in float32 would agree in 97.5 %); int8 with the toolkit's scales is at
 * most 2.4e-7 apart, with ranges calibrated here 99.9 % of values are equal. It is an emulation:
 * no figure from it is a board's.
 */

import { assert, present } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import type { AffineQuantization } from "../formats/rknn_graph.ts";
import type { Backend } from "./backend.ts";
import {
  affineOf,
  calibrate,
  type CalibrationAlgorithm,
  quantize,
  roundHalfEven,
} from "./calibration.ts";
import { type NpuForm, npuForm, type NpuLayer } from "./npu_form.ts";
import { ALL_FLOAT16, inNumbers, type Int8Layer, type NpuNumbers } from "./npu_numbers.ts";
import { openOnnx } from "./onnx.ts";

export interface EmulationRecipe {
  readonly precision: "fp16" | "w8a8" | "hybrid";
  /** How ranges are taken from the calibration set; `normal` if absent. */
  readonly algorithm?: CalibrationAlgorithm;
  /** One scale of weights per output channel, or one per layer; `channel` if absent. */
  readonly method?: "channel" | "layer";
  /**
   * Rows [rows, N] in the space that the network sees; w8a8 and hybrid need them. A recurrent
   * policy takes them as one sequence.
   */
  readonly calibration?: Float32Array;
  /**
   * hybrid: outputs of ONNX nodes whose layer stays float16, of the Gemm or of its activation. A
   * layer that takes the observation, or gives the action, leaves that in float16 too.
   */
  readonly float16Layers?: readonly string[];
}

/** Opens the emulation of a policy; float16 throughout without a recipe. */
export async function openEmulated(
  model: OnnxModel,
  recipe: EmulationRecipe = { precision: "fp16" },
): Promise<Backend> {
  return openEmulation(await emulate(model, recipe), "recipe");
}

/** Runs an emulation as it is written. */
export function openEmulation(model: OnnxModel, subject: "recipe" | "file"): Promise<Backend> {
  return openOnnx(encodeOnnx(model), model, {
    name: "emulated",
    arithmetic: "emulation",
    subject,
    optimize: false,
  });
}

/** The emulation as standard ONNX. Throws Lite3Error for a layer in float16 that is not there. */
export async function emulate(model: OnnxModel, recipe: EmulationRecipe): Promise<OnnxModel> {
  const form = npuForm(model);
  if (recipe.precision === "fp16") {
    return inNumbers(form.model, { ...ALL_FLOAT16, within: gatesOf(form.layers) });
  }
  const { calibration } = recipe;
  assert(calibration !== undefined, "int8 needs a calibration set");
  return inNumbers(form.model, await numbersOf(form, calibration, recipe));
}

/** float16 throughout: a pair of casts after every node. */
export function emulateFp16(model: OnnxModel): OnnxModel {
  return inNumbers(model, ALL_FLOAT16);
}

/** The layers that can be int8, in the graph's order; the name of each is its output. */
export function quantizableLayers(
  model: OnnxModel,
): readonly { readonly output: string; readonly op: string; readonly weights: number }[] {
  return npuForm(model).layers.map(({ output, op, weight }) => ({
    output,
    op,
    weights: weight.length,
  }));
}

/** The sigmoid inside of x · sigmoid(x), which the NPU computes as one. */
export function gatesOf(layers: readonly NpuLayer[]): Set<string> {
  return new Set(layers.flatMap(({ within }) => within.slice(1, -1)));
}

const RECURRENT: ReadonlySet<string> = new Set(["LSTM", "GRU"]);

async function numbersOf(
  form: NpuForm,
  calibration: Float32Array,
  recipe: EmulationRecipe,
): Promise<NpuNumbers> {
  const { algorithm = "normal", method = "channel", float16Layers = [] } = recipe;
  const halves = recipe.precision === "hybrid" ? chooseLayers(form, float16Layers) : new Set();
  const names = keptValues(form);
  const ranges = await calibrate(form.model, calibration, names, algorithm);
  const int8 = new Map([...ranges].map(([name, range]) => [name, affineOf(range)] as const));
  // What only a Clip takes saturates at its limits already.
  for (const { opType, input: [from = ""] = [], output: [to = ""] = [] } of form.model.graph.node ??
    []) {
    const clipped = int8.get(to);
    if (opType === "Clip" && clipped !== undefined && usersOf(form, from) === 1)
      int8.set(from, clipped);
  }
  const layers = new Map<string, Int8Layer>();
  const within = gatesOf(form.layers);
  for (const layer of form.layers.filter((one) => !halves.has(one))) {
    for (const name of layer.within) if (name !== layer.output) within.add(name);
    layers.set(
      present(layer.within[0]),
      quantizeLayer(layer, present(int8.get(layer.input)), method),
    );
  }
  return { int8, layers, within, converted: new Set(), float16: float16Values(form, halves) };
}

const usersOf = ({ model }: NpuForm, name: string): number =>
  (model.graph.node ?? []).filter(({ input = [] }) => input.includes(name)).length;

/** Inputs and outputs of layers and other nodes: what lies inside of a layer is not kept. */
function keptValues({ model: { graph }, layers }: NpuForm): string[] {
  const constants = new Set(graph.initializer?.map(({ name }) => name));
  const inner = new Set(
    layers.flatMap(({ within, output }) => within.filter((it) => it !== output)),
  );
  const values = [
    ...(graph.input ?? []).map(({ name = "" }) => name),
    ...(graph.node ?? []).flatMap(({ output = [] }) => output),
  ];
  return values.filter((name) => name !== "" && !constants.has(name) && !inner.has(name));
}

/** Layers by the name of any of their values, or refuses with those there are. */
function chooseLayers({ layers }: NpuForm, names: readonly string[]): Set<NpuLayer> {
  return new Set(
    names.map((name) => {
      const found = layers.find(({ within }) => within.includes(name));
      if (found !== undefined) return found;
      const known = layers.map(({ output }) => output).join(", ");
      throw new Lite3Error(
        "USAGE",
        `Cannot keep layer ${quote(name)} in float16: there is none, need one of ${known}`,
      );
    }),
  );
}

/** What is given as float16: by layers in float16, to them alone, and by recurrent cells. */
function float16Values({ model: { graph }, layers }: NpuForm, halves: ReadonlySet<unknown>) {
  const nodes = graph.node ?? [];
  const inLayers = new Set(layers.flatMap(({ within }) => within));
  const isRecurrent = nodes.some(({ opType = "" }) => RECURRENT.has(opType));
  const others = nodes.flatMap(({ output = [] }) => output).filter((it) => !inLayers.has(it));
  const given = layers.filter((layer) => halves.has(layer)).flatMap(({ within }) => within);
  const inputs = (graph.input ?? []).map(({ name = "" }) => name);
  const taken = inputs.filter((name) => {
    const users = nodes.filter(({ input = [] }) => input.includes(name));
    return users.every((user) =>
      layers.some((layer) => halves.has(layer) && layer.within[0] === user.output?.[0]),
    );
  });
  return new Set([...given, ...taken, ...(isRecurrent ? [...others, ...inputs] : [])]);
}

/** Weights per output channel, or over the layer, and the bias in units of both scales. */
export function quantizeLayer(
  layer: NpuLayer,
  input: AffineQuantization,
  method: "channel" | "layer",
): Int8Layer {
  const { outputs, inputs, weight, bias } = layer;
  const whole = method === "layer" ? affineOfWeights(weight) : undefined;
  const affines = Array.from(
    { length: outputs },
    (_, row) => whole ?? affineOfWeights(weight.subarray(row * inputs, (row + 1) * inputs)),
  );
  const steps = affines.map(({ scale }) => input.scale * scale);
  return {
    weight: Int8Array.from(weight, (w, i) => quantize(w, present(affines[Math.floor(i / inputs)]))),
    scales: Float32Array.from(affines, ({ scale }) => scale),
    zeroPoints: Int8Array.from(affines, ({ zeroPoint }) => zeroPoint),
    bias: Int32Array.from(bias, (b, row) => roundHalfEven(b / present(steps[row]))),
    biasScales: Float32Array.from(steps),
  };
}

function affineOfWeights(weights: Float32Array): AffineQuantization {
  const min = weights.reduce((low, w) => Math.min(low, w), 0);
  const max = weights.reduce((high, w) => Math.max(high, w), 0);
  return affineOf({ min, max });
}
