/**
 * Models for the test double of librknnrt (`ffi/stub/`): a network spelled out in the envelope of
 * a .rknn, which says that it is none. The vendor's library refuses it.
 *
 * Payload, little-endian: u32 0, `RKNN`, `LITE3DBL`, u32 FNV-1a of what follows; u32 counts of
 * inputs, outputs and layers; tensors: name of 64 bytes, u32 rank, 3 × u32 sizes, rounding;
 * layers: u32 kind, inputs, outputs, activation, roundings of sum and result, then float32
 * weights. A rounding is u32 kind, f32 scale, i32 zero point.
 */

import { assert } from "../base/assert.ts";
import { HEADER_BYTES } from "./rknn.ts";

/** What stands where a real file names the toolkit that wrote it. */
export const DOUBLE_TOOLKIT = "lite3rl double";

/** How a value is rounded: not, to float16, or to int8 with a scale. */
export type Rounding =
  | { readonly kind: "none" }
  | { readonly kind: "float16" }
  | { readonly kind: "int8"; readonly scale: number; readonly zeroPoint: number };

export interface DoubleTensor {
  readonly name: string;
  /** One to three sizes. */
  readonly shape: readonly number[];
  readonly rounding: Rounding;
}

export interface DoubleLayer {
  /** `lstm` takes its state from the inputs 1 and 2, and gives it as the outputs 1 and 2. */
  readonly kind: "dense" | "lstm";
  readonly inputs: number;
  readonly outputs: number;
  readonly activation: keyof typeof ACTIVATIONS;
  /** Of the sum, before the activation, and of what follows. */
  readonly sum: Rounding;
  readonly result: Rounding;
  /** As the NPU has them, in float32: shape [outputs, inputs], times four for the LSTM's gates. */
  readonly weight: Float32Array;
  /** Shape [4·outputs, outputs], `lstm` only. */
  readonly recurrent?: Float32Array;
  readonly bias: Float32Array;
}

export interface DoubleModel {
  /** What it stands in for, for its name. */
  readonly of: string;
  readonly inputs: readonly DoubleTensor[];
  readonly outputs: readonly DoubleTensor[];
  readonly layers: readonly DoubleLayer[];
}

const KINDS = { dense: 0, lstm: 1 } as const;
const ACTIVATIONS = { identity: 0, elu: 1, relu: 2, tanh: 3, sigmoid: 4 } as const;
const ROUNDINGS = { none: 0, float16: 1, int8: 2 } as const;
const NAME_BYTES = 64;
/** Behind the first word of the payload. */
const MARK = "RKNNLITE3DBL";
/** Of the envelope, as in real files. */
const VERSION = 6n;

/** Whether a .rknn is only the envelope of a model for the test double. */
export function isRknnDouble(bytes: Uint8Array): boolean {
  const start = HEADER_BYTES + 4;
  return Buffer.from(bytes.subarray(start, start + MARK.length)).equals(Buffer.from(MARK));
}

/** The whole file. */
export function encodeRknnDouble(model: DoubleModel): Uint8Array<ArrayBuffer> {
  const network = encodeNetwork(model);
  const payload = Buffer.concat([words(0), Buffer.from(MARK), words(fnv1a(network)), network]);
  const json = Buffer.from(JSON.stringify(documentOf(model)));
  const header = Buffer.alloc(HEADER_BYTES);
  header.write("RKNN");
  header.writeBigUInt64LE(VERSION, 8);
  header.writeBigUInt64LE(BigInt(payload.length), 16);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Uint8Array.from(Buffer.concat([header, payload, length, json]));
}

function encodeNetwork({ inputs, outputs, layers }: DoubleModel): Buffer {
  return Buffer.concat([
    words(inputs.length, outputs.length, layers.length),
    ...[...inputs, ...outputs].map(encodeTensor),
    ...layers.flatMap(encodeLayer),
  ]);
}

function encodeTensor({ name, shape, rounding }: DoubleTensor): Buffer {
  assert(shape.length >= 1 && shape.length <= 3, "one to three sizes");
  const text = Buffer.alloc(NAME_BYTES);
  text.write(name);
  const sizes = Array.from({ length: 3 }, (_, i) => shape[i] ?? 0);
  return Buffer.concat([text, words(shape.length, ...sizes), encodeRounding(rounding)]);
}

function encodeLayer(layer: DoubleLayer): Buffer[] {
  const { kind, inputs, outputs, activation, sum, result, weight, recurrent, bias } = layer;
  const rows = kind === "lstm" ? 4 * outputs : outputs;
  assert(weight.length === rows * inputs && bias.length === rows, "a layer's sizes");
  assert((recurrent?.length ?? 0) === (kind === "lstm" ? rows * outputs : 0), "recurrent weights");
  return [
    words(KINDS[kind], inputs, outputs, ACTIVATIONS[activation]),
    encodeRounding(sum),
    encodeRounding(result),
    floats(weight),
    floats(recurrent ?? new Float32Array(0)),
    floats(bias),
  ];
}

function encodeRounding(rounding: Rounding): Buffer {
  const { scale, zeroPoint } = rounding.kind === "int8" ? rounding : { scale: 1, zeroPoint: 0 };
  const bytes = Buffer.alloc(12);
  bytes.writeUInt32LE(ROUNDINGS[rounding.kind], 0);
  bytes.writeFloatLE(scale, 4);
  bytes.writeInt32LE(zeroPoint, 8);
  return bytes;
}

const words = (...values: readonly number[]): Buffer =>
  Buffer.from(Uint32Array.from(values).buffer);

const floats = (values: Float32Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength);

function fnv1a(bytes: Uint8Array): number {
  let hash = 2_166_136_261;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 16_777_619) >>> 0;
  return hash;
}

/** JSON as a real file has it, as far as it is read. */
function documentOf({ of, inputs, outputs }: DoubleModel): object {
  const tensors = [...inputs, ...outputs];
  return {
    version: DOUBLE_TOOLKIT,
    name: `lite3rl test double of ${of}, not for an NPU`,
    target_platform: ["rk3588"],
    input_num: inputs.length,
    output_num: outputs.length,
    norm_tensor: tensors.map(({ name, shape, rounding }, tensorId) => ({
      tensor_id: tensorId,
      url: name,
      size: shape,
      dtype:
        rounding.kind === "int8"
          ? { qnt_method: "layer", qnt_type: "int8", vx_type: "int8" }
          : { qnt_method: "", qnt_type: "", vx_type: "" },
    })),
    graph: tensors.map((_, tensorId) => {
      const isInput = tensorId < inputs.length;
      return {
        left: isInput ? "input" : "output",
        left_tensor_id: isInput ? tensorId : tensorId - inputs.length,
        right: "norm_tensor",
        right_tensor_id: tensorId,
      };
    }),
    connection: [],
    nodes: [],
  };
}
