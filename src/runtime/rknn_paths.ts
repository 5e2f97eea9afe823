/**
 * The two ways of numbers into the NPU and out of it.
 *
 * `float`: `rknn_inputs_set` and `rknn_outputs_get` with float32 buffers that the library converts
 * and copies. `zero-copy`: this program converts into memory that the NPU reads itself, in the
 * network's own type. The network computes the same either way.
 */

import { Input, Output, QUERY, TENSOR_FORMAT, TENSOR_TYPE } from "../../ffi/rknn_api.ts";
import type { RknnContext, RknnMemory } from "../../ffi/rknn_library.ts";
import { addressOf, Records } from "../../ffi/struct.ts";
import { present } from "../base/assert.ts";
import { FormatError, Lite3Error, quote } from "../base/errors.ts";
import {
  type Attributes,
  isPlainVector,
  type NpuTensor,
  type NpuTensors,
  queryAttributes,
} from "./rknn_tensors.ts";

export interface IoPath {
  readonly kind: "float" | "zero-copy";
  /** Puts values before an input; out of range they become the nearest that can be represented. */
  write(input: number, values: Float32Array): void;
  /** Hands the inputs over. */
  set(): void;
  /** Fetches the outputs of the run that was just made. */
  get(): void;
  /** What `get` fetched; the path's own, until the next `get`. */
  read(output: number): Float32Array;
}

export function openFloatPath(context: RknnContext, { inputs, outputs }: NpuTensors): IoPath {
  const given = inputs.map(({ count }) => new Float32Array(count));
  const taken = outputs.map(({ count }) => new Float32Array(count));
  const inputRecords = new Records(Input, inputs.length);
  inputs.forEach(({ attributes }, i) => {
    const buffer = present(given[i]);
    const format = attributes.get("fmt");
    inputRecords.set("index", i, i);
    inputRecords.set("buf", addressOf(buffer), i);
    inputRecords.set("size", buffer.byteLength, i);
    inputRecords.set("type", TENSOR_TYPE.FLOAT32, i);
    // The library wants a layout even for a vector, which has none.
    const isNamed = format !== TENSOR_FORMAT.UNDEFINED;
    inputRecords.set("fmt", isNamed ? format : TENSOR_FORMAT.NHWC, i);
  });
  const outputRecords = new Records(Output, outputs.length);
  taken.forEach((buffer, i) => {
    outputRecords.set("index", i, i);
    outputRecords.set("want_float", 1, i);
    outputRecords.set("is_prealloc", 1, i);
    outputRecords.set("buf", addressOf(buffer), i);
    outputRecords.set("size", buffer.byteLength, i);
  });
  return {
    kind: "float",
    write: (input, values) => clampInto(present(given[input]), values, present(inputs[input])),
    set: () => context.setInputs(inputRecords),
    get() {
      // What the library leaves as it was shows as NaN instead of as an old action.
      for (const buffer of taken) buffer.fill(NaN);
      context.getOutputs(outputRecords);
    },
    read: (output) => present(taken[output]),
  };
}

/** Throws FormatError where the network's own layout is not a plain vector. */
export function openZeroCopyPath(context: RknnContext, { inputs, outputs }: NpuTensors): IoPath {
  const writers = inputs.map((tensor) => openWriter(context, tensor));
  const readers = outputs.map((tensor) => openReader(context, tensor));
  return {
    kind: "zero-copy",
    write: (input, values) => present(writers[input])(values),
    set() {},
    get() {
      for (const { fetch } of readers) fetch();
    },
    read: (output) => present(readers[output]).values,
  };
}

function openWriter(context: RknnContext, tensor: NpuTensor): (values: Float32Array) => void {
  const { attributes, data } = tieMemory(context, QUERY.NATIVE_INPUT_ATTR, tensor);
  const { count, range } = tensor;
  const [scale, zeroPoint] = [attributes.get("scale"), attributes.get("zp")];
  if (attributes.get("type") === TENSOR_TYPE.INT8) {
    const target = new Int8Array(data, 0, count);
    return (values) => {
      for (let i = 0; i < count; i++) {
        const q = Math.round((values[i] as number) / scale) + zeroPoint;
        target[i] = q < -128 ? -128 : q > 127 ? 127 : q;
      }
    };
  }
  const target = floatView(attributes, data, count);
  const clamped = new Float32Array(count);
  return (values) => {
    clampInto(clamped, values, { range });
    target.set(clamped);
  };
}

function openReader(
  context: RknnContext,
  tensor: NpuTensor,
): { readonly values: Float32Array; fetch(): void } {
  const { attributes, data } = tieMemory(context, QUERY.NATIVE_OUTPUT_ATTR, tensor);
  const { count } = tensor;
  const values = new Float32Array(count);
  const [scale, zeroPoint] = [attributes.get("scale"), attributes.get("zp")];
  if (attributes.get("type") === TENSOR_TYPE.INT8) {
    const source = new Int8Array(data, 0, count);
    const fetch = (): void => {
      for (let i = 0; i < count; i++) values[i] = scale * ((source[i] as number) - zeroPoint);
    };
    return { values, fetch };
  }
  const source = floatView(attributes, data, count);
  return { values, fetch: () => values.set(source) };
}

/** Makes memory in the network's own layout and ties it to the tensor. */
function tieMemory(
  context: RknnContext,
  query: number,
  tensor: NpuTensor,
): { attributes: Attributes; data: RknnMemory["data"] } {
  const attributes = queryAttributes(context, query, tensor.index);
  if (!isPlainVector(attributes)) {
    throw new FormatError(
      `${quote(tensor.name)} is no plain vector to the NPU, need --io float`,
      "UNSUPPORTED",
    );
  }
  const bytes = Math.max(attributes.get("size_with_stride"), attributes.get("size"));
  const memory = context.createMemory(bytes);
  // What lies behind the vector is multiplied by zero weights, so it must be a number.
  const isInt8 = attributes.get("type") === TENSOR_TYPE.INT8;
  new Int8Array(memory.data).fill(isInt8 ? attributes.get("zp") : 0);
  attributes.set("pass_through", 1);
  context.setMemory(memory, attributes);
  return { attributes, data: memory.data };
}

function floatView(attributes: Attributes, data: ArrayBuffer, count: number) {
  switch (attributes.get("type")) {
    case TENSOR_TYPE.FLOAT16:
      return new Float16Array(data, 0, count);
    case TENSOR_TYPE.FLOAT32:
      return new Float32Array(data, 0, count);
    default:
      throw new Lite3Error(
        "UNSUPPORTED",
        `Cannot use memory of the library's type ${attributes.get("type")}, need --io float`,
      );
  }
}

/** The library wraps int8 around and turns large float16 into infinity: neither gets in. */
function clampInto(
  target: Float32Array,
  values: Float32Array,
  { range: [min, max] }: Pick<NpuTensor, "range">,
): void {
  for (let i = 0; i < target.length; i++) {
    const value = values[i] as number;
    target[i] = value < min ? min : value > max ? max : value;
  }
}
