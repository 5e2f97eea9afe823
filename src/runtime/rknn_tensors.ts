/**
 * Inputs and outputs of a loaded .rknn, as the library describes them: asked once, held against
 * what the file says, and read as a policy.
 */

import {
  QUERY,
  TENSOR_FORMAT,
  TENSOR_TYPE,
  InputOutputNum,
  TensorAttr,
} from "../../ffi/rknn_api.ts";
import type { RknnContext } from "../../ffi/rknn_library.ts";
import { Records } from "../../ffi/struct.ts";
import { FormatError, quote } from "../base/errors.ts";
import { shapeText } from "../base/text.ts";
import { makeValueInfo } from "../formats/onnx.ts";
import type { RknnFile, RknnTensor } from "../formats/rknn.ts";
import { type PolicyShape, policyShape } from "./policy_shape.ts";

export type Attributes = Records<typeof TensorAttr.fields>;

/** One input or output, float32 outside and something smaller inside. */
export interface NpuTensor {
  readonly index: number;
  readonly name: string;
  readonly shape: readonly number[];
  readonly count: number;
  readonly attributes: Attributes;
  /** What goes in without being changed by overflow: `float16` to ±65504, int8 by its scale. */
  readonly range: readonly [min: number, max: number];
}

export interface NpuTensors {
  readonly inputs: readonly NpuTensor[];
  readonly outputs: readonly NpuTensor[];
  readonly shape: PolicyShape;
}

/** Largest finite float16. */
const HALF_MAX = 65_504;

/** Throws FormatError when the library sees other tensors than the file names, or no policy. */
export function readTensors(context: RknnContext, file: RknnFile): NpuTensors {
  const counts = context.query(QUERY.IN_OUT_NUM, new Records(InputOutputNum));
  const inputs = readSide(context, QUERY.INPUT_ATTR, counts.get("n_input"));
  const outputs = readSide(context, QUERY.OUTPUT_ATTR, counts.get("n_output"));
  checkSame("inputs", inputs, file.inputs);
  checkSame("outputs", outputs, file.outputs);
  const info = ({ name, shape }: RknnTensor) => makeValueInfo(name, [...shape]);
  const shape = policyShape({
    graph: { input: file.inputs.map(info), output: file.outputs.map(info) },
  });
  return { inputs, outputs, shape };
}

export function queryAttributes(context: RknnContext, query: number, index: number): Attributes {
  const record = new Records(TensorAttr);
  record.set("index", index);
  return context.query(query, record);
}

function readSide(context: RknnContext, query: number, count: number): NpuTensor[] {
  return Array.from({ length: count }, (_, index) => {
    const attributes = queryAttributes(context, query, index);
    const name = attributes.get("name");
    const shape = attributes.get("dims").slice(0, attributes.get("n_dims"));
    const elements = attributes.get("n_elems");
    return { index, name, shape, count: elements, attributes, range: rangeOf(name, attributes) };
  });
}

function rangeOf(name: string, attributes: Attributes): readonly [number, number] {
  switch (attributes.get("type")) {
    case TENSOR_TYPE.FLOAT32:
      return [-Infinity, Infinity];
    case TENSOR_TYPE.FLOAT16:
      return [-HALF_MAX, HALF_MAX];
    case TENSOR_TYPE.INT8: {
      const { scale, zp } = { scale: attributes.get("scale"), zp: attributes.get("zp") };
      return [(-128 - zp) * scale, (127 - zp) * scale];
    }
    default:
      throw new FormatError(
        `tensor ${quote(name)} is of the library's type ${attributes.get("type")}, ` +
          "need float32, float16 or int8",
        "UNSUPPORTED",
      );
  }
}

/** Names and sizes must be the same; the library may see the dimensions in another order. */
function checkSame(
  side: string,
  found: readonly NpuTensor[],
  expected: readonly RknnTensor[],
): void {
  const isSame = found.every(({ name, count }, i) => {
    const { name: wanted, shape = [] } = expected[i] ?? {};
    return name === wanted && count === shape.reduce((size, one) => size * one, 1);
  });
  if (isSame && found.length === expected.length) return;
  const list = (tensors: readonly { name: string; shape: readonly number[] }[]) =>
    tensors.map(({ name, shape }) => `${quote(name)} ${shapeText(shape)}`).join(", ") || "nothing";
  throw new FormatError(
    `the library sees the ${side} ${list(found)}, but the file names ${list(expected)}`,
  );
}

/** Where a vector of one row lies without gaps, whatever the layout is called. */
export function isPlainVector(attributes: Attributes): boolean {
  const dims = attributes.get("dims").slice(0, attributes.get("n_dims"));
  const format = attributes.get("fmt");
  if (format !== TENSOR_FORMAT.NC1HWC2) return dims.filter((size) => size > 1).length <= 1;
  // [1, channels / c2, height, width, c2]: gaps lie between pixels, of which there is one.
  const [batch, , height, width] = dims;
  return batch === 1 && height === 1 && width === 1;
}
