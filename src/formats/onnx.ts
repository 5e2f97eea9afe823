/**
 * ONNX models: bytes ⇄ plain objects with the names of onnx.proto in camelCase.
 *
 * Every field may be absent, as in the file. 64-bit integers are numbers where that is exact and
 * bigints elsewhere. What this version does not know is carried through byte for byte, so that
 * `encodeOnnx(decodeOnnx(bytes))` gives the bytes back for any file of an official encoder.
 */

import { assert, present } from "../base/assert.ts";
import { FormatError, quote } from "../base/errors.ts";
import {
  ATTRIBUTE_TYPE,
  DATA_TYPE,
  ONNX_SCHEMA,
  type OnnxAttribute,
  type OnnxModel,
  type OnnxNode,
  type OnnxTensor,
  type OnnxValueInfo,
} from "./onnx_schema.ts";
import { decodeMessage, encodeMessage } from "./protobuf.ts";
import { type DType, type Tensor, countElements, decodeElements, toFloat32 } from "./tensor.ts";

export { ATTRIBUTE_TYPE, DATA_TYPE } from "./onnx_schema.ts";
export type {
  Int64,
  OnnxAttribute,
  OnnxGraph,
  OnnxModel,
  OnnxNode,
  OnnxTensor,
  OnnxValueInfo,
  UnknownField,
} from "./onnx_schema.ts";

/** Tensors kept in another file: TensorProto.DataLocation.EXTERNAL. */
const EXTERNAL = 1;

/**
 * Decodes a model; byte fields (`rawData`) are views of `bytes`.
 * Throws FormatError with the field and byte offset, or when there is no graph.
 */
export function decodeOnnx(bytes: Uint8Array): OnnxModel {
  if (bytes.length === 0) throw new FormatError("it is empty, need an ONNX model");
  const model = decodeMessage(ONNX_SCHEMA, "Model", bytes);
  if (model.graph === undefined) throw new FormatError("not an ONNX model: it has no graph");
  return model as OnnxModel;
}

/** Encodes a model; the same model gives the same bytes. */
export function encodeOnnx(model: OnnxModel): Uint8Array<ArrayBuffer> {
  return encodeMessage(ONNX_SCHEMA, "Model", model);
}

/** The metadata that a producer left. Throws FormatError for a key that is there twice. */
export function metadata(model: OnnxModel): Map<string, string> {
  const pairs = new Map<string, string>();
  for (const { key = "", value = "" } of model.metadataProps ?? []) {
    if (pairs.has(key)) throw new FormatError(`its metadata has ${quote(key)} twice`);
    pairs.set(key, value);
  }
  return pairs;
}

/** Are its values in a file beside the model? */
export const isExternal = ({ dataLocation, externalData = [] }: OnnxTensor): boolean =>
  dataLocation === EXTERNAL || externalData.length > 0;

/**
 * The values of a tensor, from wherever the producer put them. Throws FormatError when they are
 * not as many as its dimensions say, in another file, or no numbers.
 */
export function tensorValues(tensor: OnnxTensor): Tensor {
  const at = `tensor ${quote(tensor.name ?? "")}`;
  if (isExternal(tensor)) {
    throw new FormatError(`${at} is in another file, need it in the model`, "UNSUPPORTED");
  }
  const dtype = Object.keys(DATA_TYPE).find((key) => DATA_TYPE[key as DType] === tensor.dataType);
  if (dtype === undefined) {
    throw new FormatError(
      `${at} has element type ${tensor.dataType ?? 0}, need one of ${Object.keys(DATA_TYPE).join(", ")}`,
      "UNSUPPORTED",
    );
  }
  const shape = (tensor.dims ?? []).map(Number);
  const count = countElements(shape);
  const data = decodeElements(dtype as DType, storedBytes(tensor, dtype as DType, at));
  if (data.length !== count) {
    throw new FormatError(
      `${at} has ${data.length} values, but its shape [${shape.join(", ")}] needs ${count}`,
    );
  }
  return { dtype: dtype as DType, shape, data };
}

/** The values of a tensor as float32, rounded; NaN stays NaN. Throws as `tensorValues` does. */
export function tensorFloats(tensor: OnnxTensor): Float32Array<ArrayBuffer> {
  return toFloat32(tensorValues(tensor));
}

/** A float32 tensor of shape `dims`; the values are copied. */
export function makeTensor(
  name: string,
  dims: readonly number[],
  values: Float32Array,
): OnnxTensor {
  assert(countElements(dims) === values.length, `${name}: the shape is not that of the values`);
  return { dims: [...dims], dataType: DATA_TYPE.float32, name, rawData: bytesOf(values).slice() };
}

export interface NodeOptions {
  readonly name?: string;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
}

/**
 * A number is a float or an int as the operators of the ONNX standard define that attribute; an
 * array is of ints. Whatever else is needed is given as the attribute message itself.
 */
export type AttributeValue = number | string | readonly number[] | OnnxAttribute;

/**
 * The attributes that are one float in every operator of the standard (and no attribute of these
 * names is an int): all versions of domain "" in onnx 1.23's `onnx.defs`.
 */
const FLOAT_ATTRIBUTES: ReadonlySet<string> = new Set(
  (
    "alpha beta bias clip cubic_coeff_a epsilon extrapolation_value gamma height_scale high " +
    "lambd low max mean min momentum ratio scale softcap spatial_scale value_float width_scale"
  ).split(" "),
);

export function makeNode(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  options: NodeOptions = {},
): OnnxNode {
  const { name, attributes = {} } = options;
  const attribute = Object.entries(attributes).map(([key, value]) => makeAttribute(key, value));
  return {
    input: [...input],
    output: [...output],
    ...(name === undefined ? {} : { name }),
    opType,
    ...(attribute.length === 0 ? {} : { attribute }),
  };
}

/** An input or output; a string in `dims` names a dynamic dimension. */
export function makeValueInfo(
  name: string,
  dims: readonly (number | string)[],
  elemType: number = DATA_TYPE.float32,
): OnnxValueInfo {
  const dim = dims.map((size) =>
    typeof size === "number" ? { dimValue: size } : { dimParam: size },
  );
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

function makeAttribute(name: string, value: AttributeValue): OnnxAttribute {
  if (typeof value === "string") {
    return { name, s: new TextEncoder().encode(value), type: ATTRIBUTE_TYPE.s };
  }
  if (typeof value === "number" && FLOAT_ATTRIBUTES.has(name)) {
    return { name, f: value, type: ATTRIBUTE_TYPE.f };
  }
  if (typeof value === "number") {
    assert(Number.isSafeInteger(value), `attribute ${name} is an int`);
    return { name, i: value, type: ATTRIBUTE_TYPE.i };
  }
  if (isInts(value)) {
    assert(value.every(Number.isSafeInteger), `attribute ${name} is of ints`);
    return { name, ints: [...value], type: ATTRIBUTE_TYPE.ints };
  }
  return { ...value, name };
}

function isInts(value: readonly number[] | OnnxAttribute): value is readonly number[] {
  return Array.isArray(value);
}

/** `rawData`, or the typed field that TensorProto prescribes, as little-endian bytes. */
function storedBytes(tensor: OnnxTensor, dtype: DType, at: string): Uint8Array {
  const { rawData, floatData, doubleData, int64Data, int32Data } = tensor;
  const given = [rawData, floatData, doubleData, int64Data, int32Data].filter(
    (values) => values !== undefined && values.length > 0,
  );
  if (given.length > 1) throw new FormatError(`${at} has its values in several fields`);
  if (rawData !== undefined && rawData.length > 0) return rawData;
  switch (dtype) {
    case "float32":
      return bytesOf(Float32Array.from(floatData ?? []));
    case "float64":
      return bytesOf(Float64Array.from(doubleData ?? []));
    case "int64":
      return bytesOf(BigInt64Array.from(int64Data ?? [], BigInt));
    default:
      return bytesOf(narrow(int32Data ?? [], dtype, at));
  }
}

const INT32_FIELD = {
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
} as const;

/** `int32Data` holds one element, or the bits of one, per int32. */
function narrow(
  values: readonly number[],
  dtype: keyof typeof INT32_FIELD,
  at: string,
): ArrayBufferView {
  const narrowed = INT32_FIELD[dtype].from(values);
  const index = values.findIndex((value, i) => value !== present(narrowed[i]));
  if (index >= 0) throw new FormatError(`${at} has ${values[index]} as a ${dtype}`);
  return narrowed;
}

function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}
