/**
 * The network in a .rknn: tensors with their place in memory, and the operators in order.
 *
 * The payload is a FlatBuffer whose schema Rockchip does not publish. The fields used here were
 * learned from files of toolkit 2.5.0 made of networks whose every number is known, and agree
 * with what Netron reads. What they do not say, the NPU's register commands, stays opaque.
 */

import { FormatError } from "../base/errors.ts";
import { type FlatTable, readFlatBuffer } from "./flatbuffer.ts";
import { HEADER_BYTES, parseRknn, type RknnFile } from "./rknn.ts";
import { isRknnDouble } from "./rknn_double.ts";

/** `Tensor.data_type` of what a policy's tensors are. */
const DTYPES: Readonly<Record<number, RknnDType>> = {
  1: "float32",
  3: "int8",
  5: "int16",
  6: "int32",
  7: "int64",
  10: "float16",
};

export type RknnDType = "float32" | "float16" | "int8" | "int16" | "int32" | "int64" | "other";

/** An int8 value q stands for scale · (q − zeroPoint). */
export interface AffineQuantization {
  readonly scale: number;
  readonly zeroPoint: number;
}

export interface RknnGraphTensor {
  readonly name: string;
  readonly dtype: RknnDType;
  readonly shape: readonly number[];
  /** As it lies in memory: the sizes of its blocks, one after the other. */
  readonly stored: readonly number[];
  /** Of a constant: its bytes, and where they begin in the file. */
  readonly content?: { readonly offset: number; readonly data: Uint8Array };
  /** Of an int8 value that changes from run to run; weights have theirs beside the bias. */
  readonly quantization?: AffineQuantization;
}

export interface RknnOperator {
  /** `Conv`, `ConvElu`, `Reshape`, `exDataConvert` … */
  readonly type: string;
  readonly name: string;
  readonly inputs: readonly RknnGraphTensor[];
  readonly outputs: readonly RknnGraphTensor[];
}

export interface RknnGraph {
  readonly file: RknnFile;
  readonly tensors: readonly RknnGraphTensor[];
  /** In the order in which they run. */
  readonly operators: readonly RknnOperator[];
}

/** Reads a whole .rknn. Throws FormatError for a broken one, one of several graphs, a double's. */
export function parseRknnGraph(bytes: Uint8Array): RknnGraph {
  const file = parseRknn(bytes);
  if (isRknnDouble(bytes)) {
    throw new FormatError(
      "it is made for the test double of the NPU library, which is not loaded; need the double " +
        "with --librknnrt and LITE3RL_DOUBLE=1, or a .rknn of the toolkit",
      "UNSUPPORTED",
    );
  }
  const root = readFlatBuffer(bytes.subarray(HEADER_BYTES, HEADER_BYTES + file.payloadBytes));
  const [graph, ...more] = root.tables(ROOT.graphs);
  if (graph === undefined || more.length > 0) {
    throw new FormatError(
      `the payload has ${more.length + (graph ? 1 : 0)} graphs, need one`,
      "UNSUPPORTED",
    );
  }
  const contents = root.tables(ROOT.contents);
  const tensors = graph.tables(GRAPH.tensors).map((table) => readTensor(table, contents));
  const operators = graph.tables(GRAPH.operators).map((table) => readOperator(table, tensors));
  return { file, tensors, operators };
}

/** Numbers of the fields, in the order of the tables' definitions. */
const ROOT = { graphs: 2, contents: 20 } as const;
const GRAPH = { tensors: 0, operators: 1 } as const;
const CONTENT = { data: 0 } as const;
const OPERATOR = { type: 1, name: 2, inputs: 4, outputs: 5 } as const;
const TENSOR = {
  dtype: 0,
  stored: 3,
  shape: 4,
  name: 5,
  scale: 10,
  zeroPoint: 11,
  content: 18,
} as const;

function readTensor(table: FlatTable, contents: readonly FlatTable[]): RknnGraphTensor {
  const [scale, ...scales] = table.float32s(TENSOR.scale);
  const [zeroPoint] = table.int32s(TENSOR.zeroPoint);
  const { offset, data } = readContent(table.int32(TENSOR.content), contents);
  const isAffine = scale !== undefined && zeroPoint !== undefined && scales.length === 0;
  return {
    name: table.string(TENSOR.name),
    dtype: DTYPES[table.int8(TENSOR.dtype)] ?? "other",
    shape: table.int32s(TENSOR.shape),
    stored: table.int32s(TENSOR.stored),
    ...(data.length === 0 ? {} : { content: { offset: HEADER_BYTES + offset, data } }),
    ...(isAffine ? { quantization: { scale, zeroPoint } } : {}),
  };
}

/** Content 0 is nobody's. */
function readContent(index: number, contents: readonly FlatTable[]) {
  if (index === 0) return { offset: 0, data: new Uint8Array() };
  const table = contents[index];
  if (table === undefined) {
    throw new FormatError(`a tensor has content ${index}, but there are ${contents.length}`);
  }
  return table.bytes(CONTENT.data);
}

/** An optional input that is left out, as an LSTM's. */
const LEFT_OUT = -1;
const NO_TENSOR: RknnGraphTensor = { name: "", dtype: "other", shape: [], stored: [] };

function readOperator(table: FlatTable, tensors: readonly RknnGraphTensor[]): RknnOperator {
  const pick = (field: number): RknnGraphTensor[] =>
    table.int32s(field).map((index) => {
      const tensor = index === LEFT_OUT ? NO_TENSOR : tensors[index];
      if (tensor !== undefined) return tensor;
      throw new FormatError(`an operator has tensor ${index}, but there are ${tensors.length}`);
    });
  return {
    type: table.string(OPERATOR.type),
    name: table.string(OPERATOR.name),
    inputs: pick(OPERATOR.inputs),
    outputs: pick(OPERATOR.outputs),
  };
}
