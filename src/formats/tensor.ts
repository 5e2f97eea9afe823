/**
 * Tensors as typed arrays: the element types that checkpoints, .npy files and ONNX share.
 *
 * Every element type keeps its values exactly: float16 stays float16, bfloat16 becomes float32
 * (which holds each of its values), bool becomes bytes 0 and 1. Rounding happens in one place
 * only, `toFloat32`.
 */

import { assert, present } from "../base/assert.ts";
import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

export type DType =
  | "float16"
  | "bfloat16"
  | "float32"
  | "float64"
  | "int8"
  | "uint8"
  | "int16"
  | "int32"
  | "int64"
  | "bool";

export type TensorData =
  | Float16Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>;

/** Elements in row-major order; `data.length` is the product of `shape`. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

interface ElementType {
  readonly bytes: number;
  view(buffer: ArrayBuffer): TensorData;
}

const ELEMENTS: Readonly<Record<DType, ElementType>> = {
  float16: { bytes: 2, view: (buffer) => new Float16Array(buffer) },
  bfloat16: { bytes: 2, view: widenBfloat16 },
  float32: { bytes: 4, view: (buffer) => new Float32Array(buffer) },
  float64: { bytes: 8, view: (buffer) => new Float64Array(buffer) },
  int8: { bytes: 1, view: (buffer) => new Int8Array(buffer) },
  uint8: { bytes: 1, view: (buffer) => new Uint8Array(buffer) },
  int16: { bytes: 2, view: (buffer) => new Int16Array(buffer) },
  int32: { bytes: 4, view: (buffer) => new Int32Array(buffer) },
  int64: { bytes: 8, view: (buffer) => new BigInt64Array(buffer) },
  bool: { bytes: 1, view: (buffer) => new Uint8Array(buffer) },
};

/** Bytes of one element where it is stored (2 for bfloat16). */
export function elementBytes(dtype: DType): number {
  return ELEMENTS[dtype].bytes;
}

/** Elements from their stored bytes, which are copied. */
export function decodeElements(dtype: DType, bytes: Uint8Array, littleEndian = true): TensorData {
  const element = ELEMENTS[dtype];
  if (bytes.length % element.bytes !== 0) {
    throw new FormatError(`${bytes.length} bytes are not whole ${dtype} elements`);
  }
  const copy = new Uint8Array(bytes);
  if (!littleEndian) swapBytes(copy, element.bytes);
  return element.view(copy.buffer);
}

/** The number of elements of a shape. Throws FormatError for one that no file can hold. */
export function countElements(shape: readonly number[]): number {
  if (shape.length > LIMITS.tensorRank) {
    throw new FormatError(
      `a tensor has ${shape.length} dimensions, at most ${LIMITS.tensorRank} are taken`,
      "TOO_LARGE",
    );
  }
  if (!shape.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new FormatError(`shape [${shape.join(", ")}] is not made of sizes`);
  }
  const count = shape.includes(0) ? 0 : shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count)) {
    throw new FormatError(`shape [${shape.join(", ")}] has too many elements`, "TOO_LARGE");
  }
  return count;
}

/**
 * Copies a strided view into row-major order. Shape, strides and offset count elements; the
 * caller has checked that every one of them lies within `bytes`.
 */
export function gatherElements(
  bytes: Uint8Array,
  itemBytes: number,
  view: {
    readonly shape: readonly number[];
    readonly strides: readonly number[];
    readonly offset: number;
  },
): Uint8Array<ArrayBuffer> {
  const { shape, strides } = view;
  const count = countElements(shape);
  const result = new Uint8Array(count * itemBytes);
  const indices = shape.map(() => 0);
  let from = view.offset;
  for (let item = 0; item < count; item++) {
    for (let i = 0; i < itemBytes; i++) {
      result[item * itemBytes + i] = present(bytes[from * itemBytes + i], "element");
    }
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const index = (indices[axis] ?? 0) + 1;
      const size = shape[axis] ?? 0;
      const stride = strides[axis] ?? 0;
      if (index < size) {
        indices[axis] = index;
        from += stride;
        break;
      }
      indices[axis] = 0;
      from -= stride * (size - 1);
    }
  }
  return result;
}

/**
 * The values as float32, rounded to nearest; what is out of range becomes infinite, and NaN stays
 * NaN: callers check. A float32 tensor's own data is returned, not a copy.
 */
export function toFloat32(tensor: Tensor): Float32Array<ArrayBuffer> {
  const { data } = tensor;
  if (data instanceof Float32Array) return data;
  if (data instanceof BigInt64Array) return Float32Array.from(data, Number);
  return new Float32Array(data);
}

function widenBfloat16(buffer: ArrayBuffer): Float32Array<ArrayBuffer> {
  const halves = new Uint16Array(buffer);
  const words = new Uint32Array(halves.length);
  for (const [i, half] of halves.entries()) words[i] = half << 16;
  return new Float32Array(words.buffer);
}

function swapBytes(bytes: Uint8Array, itemBytes: number): void {
  assert(bytes.length % itemBytes === 0);
  if (itemBytes === 1) return;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (itemBytes === 2) buffer.swap16();
  else if (itemBytes === 4) buffer.swap32();
  else buffer.swap64();
}
