/**
 * What in an ONNX model keeps it off the RK3588's NPU. Source: rknn-toolkit2's operator list for
 * 2.3.2 and conversions tried with 2.5.0.
 */

import { FormatError } from "../base/errors.ts";
import {
  DATA_TYPE,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  tensorFloats,
  isExternal,
} from "../formats/onnx.ts";
import { plain, tally } from "../base/text.ts";

/** Values beyond are infinite as float16; the toolkit converts them, and NaN, without a word. */
const FLOAT16_MAX = 65_504;
const FLOATS: ReadonlySet<number> = new Set([
  DATA_TYPE.float16,
  DATA_TYPE.bfloat16,
  DATA_TYPE.float32,
  DATA_TYPE.float64,
]);
/** The newest opset that the toolkit takes: `Unsupport onnx opset 20, need <= 19!`. */
const OPSET_MAX = 19;

/**
 * Operators that toolkit 2.5.0 leaves to the CPU, each a way there and back. Tried one by one
 * between two layers, as float16 for rk3588; the names are ONNX's. Div by a constant is a product,
 * which the NPU computes.
 */
const CPU_OPERATORS: ReadonlySet<string> = new Set(
  "Celu Cos Erf Exp Floor Greater Less Log Max Min Mish Reciprocal Sin Softsign".split(" "),
);

/** Those that it gave to the NPU, or took away by joining them to a layer. */
const NPU_OPERATORS: ReadonlySet<string> = new Set(
  (
    "Abs Add BatchNormalization Cast Clip Concat Dropout Elu Flatten GRU Gather Gemm HardSigmoid " +
    "HardSwish Identity LSTM LayerNormalization LeakyRelu MatMul Mul Neg PRelu Pow ReduceMean " +
    "ReduceSum Relu Reshape Sigmoid Slice Softmax Softplus Split Sqrt Squeeze Sub Tanh " +
    "ThresholdedRelu Transpose Unsqueeze Where"
  ).split(" "),
);

export interface OperatorPlacement {
  readonly operator: string;
  readonly count: number;
  /** `unknown`: nobody tried this operator. */
  readonly runsOn: "npu" | "cpu" | "unknown";
}

/** Where the toolkit is expected to put each kind of operator, most frequent first. */
export function npuPlacement({ graph }: OnnxModel): OperatorPlacement[] {
  const constants = new Set(graph.initializer?.map(({ name = "" }) => name));
  const label = ({ opType = "?", input = [] }: OnnxNode): string =>
    opType === "Div" && !constants.has(input[1] ?? "") ? "Div by a value" : opType;
  const counts = tally((graph.node ?? []).map(label));
  return Object.entries(counts).map(([operator, count]) => ({
    operator,
    count,
    runsOn: placementOf(operator),
  }));
}

function placementOf(operator: string): OperatorPlacement["runsOn"] {
  if (operator === "Div" || NPU_OPERATORS.has(operator)) return "npu";
  return operator === "Div by a value" || CPU_OPERATORS.has(operator) ? "cpu" : "unknown";
}

/** One sentence per problem, without repeating itself for every node of a kind. */
export function npuProblems(model: OnnxModel): string[] {
  const { graph, opsetImport = [] } = model;
  const problems = new Map<string, { count: number; first: string }>();
  for (const [index, node] of (graph.node ?? []).entries()) {
    const why = nodeProblem(node);
    if (why === undefined) continue;
    const first = plain(node.name || node.output?.[0] || `node ${index}`, 60);
    const known = problems.get(why);
    problems.set(why, { count: (known?.count ?? 0) + 1, first: known?.first ?? first });
  }
  const sentences = [...problems].map(([why, { count, first }]) =>
    count === 1 ? `${first}: ${why}` : `${first} and ${count - 1} more: ${why}`,
  );
  const opset = opsetImport.find(({ domain = "" }) => domain === "" || domain === "ai.onnx");
  if (Number(opset?.version ?? 0) > OPSET_MAX) {
    sentences.push(`opset ${opset?.version}: conversion takes at most ${OPSET_MAX}`);
  }
  const tensors = graph.initializer ?? [];
  const outside = tensors.filter(isExternal);
  if (outside.length > 0) {
    const [first] = outside.map(({ name = "" }) => plain(name, 60));
    const which = outside.length === 1 ? `${first} is` : `${outside.length} tensors are`;
    sentences.push(`${which} in another file, need all in one: onnx.save_model(onnx.load(…), …)`);
  }
  const weights = tensors.flatMap((tensor) =>
    isExternal(tensor) ? [] : (weightProblem(tensor) ?? []),
  );
  return [...sentences, ...weights];
}

function nodeProblem({ opType, attribute = [], domain = "" }: OnnxNode): string | undefined {
  if (domain !== "" && domain !== "ai.onnx") {
    return `operator ${plain(`${domain}.${opType}`, 60)} is not of the ONNX standard`;
  }
  if (opType === "Selu") return "Selu is not an operator of the NPU, train with elu";
  if (opType !== "Elu") return undefined;
  const alpha = attribute.find(({ name }) => name === "alpha")?.f ?? 1;
  return alpha === 1 ? undefined : `Elu with alpha ${alpha}, the NPU computes alpha 1 only`;
}

/** A weight that float16 cannot hold, or values that cannot be read at all. */
function weightProblem(tensor: OnnxTensor): string | undefined {
  const name = plain(tensor.name ?? "", 60);
  try {
    if (!FLOATS.has(tensor.dataType ?? 0)) return undefined;
    const values = tensorFloats(tensor);
    const index = values.findIndex((value) => !(Math.abs(value) <= FLOAT16_MAX));
    return index < 0
      ? undefined
      : `${name}[${index}] is ${values[index]}, float16 holds at most ${FLOAT16_MAX}`;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return plain(error.message, 300);
  }
}
