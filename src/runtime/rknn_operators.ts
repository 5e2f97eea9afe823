/**
 * The operators of a .rknn beside those of the ONNX model that it is said to come from: what is
 * computed between the layers, and which layer takes what.
 *
 * The toolkit joins an activation to its layer (`ConvElu`), gives some operators names of its own
 * (`exSwish` for x · sigmoid(x)), and adds such as only move values. Between two layers the kinds
 * are compared, found by building networks of every activation with toolkit 2.5.0. What only the
 * toolkit has a name for is never a contradiction; it is listed as assumed.
 */

import type { OnnxModel, OnnxNode } from "../formats/onnx.ts";
import type { RknnGraph, RknnGraphTensor, RknnOperator } from "../formats/rknn_graph.ts";
import { npuForm, type NpuLayer } from "./npu_form.ts";
import { matchLayers, type RknnLayers } from "./rknn_layers.ts";

export interface OperatorProof {
  /** What the file computes otherwise than the model; one sentence each. */
  readonly contradictions: readonly string[];
  /** What the file does not tell; one phrase each. */
  readonly assumed: readonly string[];
}

/** They move values, convert them, or choose among them. */
const CARRIERS: ReadonlySet<string> = new Set(
  (
    "Cast Concat Constant ConstantOfShape DataConvert Dropout Expand Flatten Gather Identity " +
    "Reshape Shape Slice Split Squeeze Transpose Unsqueeze"
  ).split(" "),
);
/** With a constant; constants of several numbers are compared with the weights. */
const ARITHMETIC: ReadonlySet<string> = new Set(["Add", "Mul"]);
/** Operators whose ONNX name stays theirs in a file. */
const KNOWN: ReadonlySet<string> = new Set([
  ...ARITHMETIC,
  ...(
    "Abs Ceil Celu Clip Cos Elu Erf Exp Floor GRU Gelu HardSigmoid HardSwish LSTM LeakyRelu Log " +
    "Max Min Mish PRelu Pow RNN Reciprocal Relu Round Selu Sigmoid Sign Sin Softmax Softplus " +
    "Softsign Sqrt Swish Tan Tanh ThresholdedRelu"
  ).split(" "),
  "Add of values",
  "Mul of values",
]);
/** Parts of the same kind in both: Sub is Add with the other sign, `_2bn` a product and a sum. */
const PARTS: Readonly<Record<string, readonly string[]>> = {
  Sub: ["Add"],
  Div: ["Mul"],
  Neg: ["Mul"],
  BatchNormalization: ["Mul", "Add"],
};
/** Of two values, where `Add` and `Mul` alone have a constant. */
const OF_VALUES = " of values";
/** What the toolkit makes one operator of; `Mul` and `Add` with constants are not counted. */
const JOINED: Readonly<Record<string, readonly (readonly string[])[]>> = {
  Swish: [["Sigmoid", "Mul of values"]],
  HardSwish: [
    ["HardSigmoid", "Mul of values"],
    ["Clip", "Mul of values"],
  ],
  Gelu: [
    ["Erf", "Mul of values"],
    ["Pow", "Add of values", "Tanh", "Mul of values"],
  ],
  Mish: [["Softplus", "Tanh", "Mul of values"]],
  Softplus: [["Exp", "Log"]],
  LeakyRelu: [["Abs"]],
};
/** Numbers of an operator that its name does not tell. */
const UNTOLD: Readonly<Record<string, string>> = {
  LeakyRelu: "slope",
  Celu: "alpha",
  HardSigmoid: "alpha and beta",
  ThresholdedRelu: "threshold",
  Clip: "limits",
};

/** What gives a value: a layer or an input of the graph has a label, everything else a kind. */
interface Producer {
  readonly kind: string;
  readonly label?: string;
  readonly inputs: readonly string[];
}

type Producers = ReadonlyMap<string, Producer>;

/** Everything between a value and the layers and inputs that it comes from. */
interface Region {
  /** In the order in which they are computed. */
  readonly kinds: readonly string[];
  readonly isChain: boolean;
  readonly sources: readonly string[];
}

/** Holds the operators of a file against a model's. */
export function compareOperators({ graph, layers }: RknnLayers, model: OnnxModel): OperatorProof {
  const form = npuForm(model);
  const matched = matchLayers(layers, form.layers);
  const labels = new Map([...matched].map(([{ name }, { operator }]) => [operator, name] as const));
  const file = fileProducers(graph, labels);
  const own = modelProducers(form.model, form.layers);
  const places = [
    ...form.layers.map((layer) => ({
      name: layer.name,
      model: layer.input,
      file: matched.get(layer)?.operator.inputs[0]?.name,
    })),
    ...(form.model.graph.output ?? []).map(({ name = "" }) => ({ name, model: name, file: name })),
  ];
  const contradictions = new Set(wrongAlphas(model));
  const assumed = new Set<string>();
  for (const place of places) {
    if (place.file === undefined) continue; // A layer without its place fails the weights.
    const [inFile, inModel] = [regionOf(file, place.file), regionOf(own, place.model)];
    const found = compareRegions(inFile, inModel, place.name);
    for (const one of found.contradictions) contradictions.add(one);
    for (const one of found.assumed) assumed.add(one);
  }
  return { contradictions: [...contradictions], assumed: [...assumed] };
}

/** The NPU has one Elu, and a file does not say of which alpha it was made. */
function wrongAlphas({ graph }: OnnxModel): string[] {
  return (graph.node ?? []).flatMap(({ opType, name, output, attribute = [] }) => {
    const alpha = attribute.find((one) => one.name === "alpha")?.f ?? 1;
    if (opType !== "Elu" || alpha === 1) return [];
    return `the model's ${name ?? output?.[0]} has alpha ${alpha}, the NPU computes alpha 1 only`;
  });
}

function modelProducers({ graph }: OnnxModel, layers: readonly NpuLayer[]): Producers {
  const labels = new Map(layers.map(({ within, name }) => [within[0] ?? "", name]));
  const producers = new Map<string, Producer>(
    (graph.input ?? []).map(({ name = "" }) => [name, { kind: "", label: name, inputs: [] }]),
  );
  const constants = new Set((graph.initializer ?? []).map(({ name }) => name));
  const produce = ({ opType = "", input = [], output = [] }: OnnxNode): void => {
    const label = labels.get(output[0] ?? "");
    const inputs = input.filter((one) => !constants.has(one));
    const producer = { kind: opType, inputs, ...(label === undefined ? {} : { label }) };
    for (const name of output) producers.set(name, producer);
  };
  for (const node of graph.node ?? []) produce(node);
  return producers;
}

function fileProducers(
  { operators }: RknnGraph,
  labels: ReadonlyMap<RknnOperator, string>,
): Producers {
  const producers = new Map<string, Producer>();
  const valuesOf = (tensors: readonly RknnGraphTensor[]): string[] =>
    tensors.filter(({ content }) => content === undefined).map(({ name }) => name);
  for (const operator of operators) {
    const { type, inputs, outputs } = operator;
    const give = (producer: Producer): void => {
      for (const { name } of outputs) producers.set(name, producer);
    };
    const [, joined] = /^Conv(.*)$/.exec(type) ?? [];
    if (type === "InputOperator") give({ kind: "", label: outputs[0]?.name ?? "", inputs: [] });
    else if (joined === undefined) give({ kind: plainKind(type), inputs: valuesOf(inputs) });
    else {
      const label = labels.get(operator) ?? `the file's ${inputs[1]?.name}`;
      let last: Producer = { kind: "Conv", label, inputs: [] };
      for (const [index, kind] of joinedKinds(joined).entries()) {
        const sum = `${operator.name}/${index}`;
        producers.set(sum, last);
        last = { kind, inputs: [sum, ...(index === 0 ? valuesOf(inputs.slice(3)) : [])] };
      }
      give(last);
    }
  }
  return producers;
}

/** `Elu` of `ConvElu`; `Add` and `Relu` of `ConvAddRelu`. */
function joinedKinds(joined: string): string[] {
  const [, sum, rest = ""] = /^(Add)?(.*)$/.exec(joined) ?? [];
  return [sum ?? "", rest === "" ? "" : plainKind(rest)].filter((kind) => kind !== "");
}

/** `exSwish` and `ExSwish` are Swish. */
const plainKind = (type: string): string => type.replace(/^[eE]x(?=[A-Z])/, "");

/** Goes up from a value; each operator counts once, however many ways lead to it. */
function regionOf(producers: Producers, start: string): Region {
  const kinds: string[] = [];
  const sources = new Set<string>();
  const seen = new Set<Producer>();
  let isChain = true;
  const open: { readonly producer: Producer; isDone: boolean }[] = [];
  const push = (name: string): void => {
    const producer = producers.get(name);
    if (producer === undefined || seen.has(producer)) return;
    seen.add(producer);
    if (producer.label === undefined) open.push({ producer, isDone: false });
    else sources.add(producer.label);
  };
  push(start);
  for (let top = open.at(-1); top !== undefined; top = open.at(-1)) {
    const { kind, inputs } = top.producer;
    const given = inputs.filter((name) => producers.has(name));
    if (top.isDone) {
      open.pop();
      const parts = CARRIERS.has(kind) ? [] : (PARTS[kind] ?? [kind]);
      kinds.push(...parts.map((one) => (given.length > 1 ? ofValues(one) : one)));
      continue;
    }
    top.isDone = true;
    if (given.length > 1) isChain = false;
    for (const name of given) push(name);
  }
  return { kinds, isChain, sources: [...sources].toSorted() };
}

const ofValues = (kind: string): string => (ARITHMETIC.has(kind) ? kind + OF_VALUES : kind);

function compareRegions(file: Region, model: Region, name: string): OperatorProof {
  const wrong = (sentence: string) => ({ contradictions: [sentence], assumed: [] });
  if (file.sources.join("\n") !== model.sources.join("\n")) {
    return wrong(
      `${name} comes from ${listed(file.sources)} in the file, ` +
        `from ${listed(model.sources)} in the model`,
    );
  }
  const [source] = model.sources;
  const where = model.sources.length === 1 ? `after ${source}` : `before ${name}`;
  const otherwise = wrong(
    `the file computes ${listed(file.kinds)} ${where}, the model ${listed(model.kinds)}`,
  );
  const isOrdered = file.isChain && model.isChain;
  const assumed = [...new Set(file.kinds)].flatMap((kind) =>
    UNTOLD[kind] === undefined ? [] : `${UNTOLD[kind]} of ${kind} ${where}, from the ONNX`,
  );
  const rest = differences(file.kinds, model.kinds);
  if (rest.file.length === 0 && rest.model.length === 0) {
    const isOther = isOrdered && isPermuted(file.kinds, model.kinds);
    return isOther ? otherwise : { contradictions: [], assumed };
  }
  const ofFile = rest.file.filter((kind) => KNOWN.has(kind));
  const isForeign = ofFile.length < rest.file.length;
  const isUnnamed = rest.model.some((kind) => !KNOWN.has(kind));
  if (isForeign ? ofFile.length > 0 : !isUnnamed) return otherwise;
  const taken = `${listed(rest.file)} ${where}, taken for the model's ${listed(rest.model)}`;
  return { contradictions: [], assumed: [...assumed, taken] };
}

/** The same kinds in another order. */
const isPermuted = (file: readonly string[], model: readonly string[]): boolean =>
  file.toSorted().join() === model.toSorted().join() && file.join() !== model.join();

/** What only one of them has, apart from what the toolkit joins, and how it counts arithmetic. */
function differences(file: readonly string[], model: readonly string[]) {
  let [ofFile, ofModel] = [without(file, model), without(model, file)];
  for (const kind of ofFile) {
    const parts = (JOINED[kind] ?? []).find((one) => without(one, ofModel).length === 0);
    if (parts === undefined) continue;
    ofFile = without(ofFile, [kind]);
    ofModel = without(ofModel, parts);
  }
  // Sums and products with constants are joined in many ways; none come from nowhere.
  if (model.some((kind) => ARITHMETIC.has(kind))) {
    [ofFile, ofModel] = [ofFile, ofModel].map((kinds) =>
      kinds.filter((kind) => !ARITHMETIC.has(kind)),
    ) as [string[], string[]];
  }
  return { file: ofFile, model: ofModel };
}

/** A list without as many of each as another has. */
function without(kinds: readonly string[], others: readonly string[]): string[] {
  const left = [...others];
  return kinds.filter((kind) => {
    const at = left.indexOf(kind);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

const listed = (names: readonly string[]): string => names.join(", ") || "nothing";
