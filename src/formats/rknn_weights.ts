/**
 * Weights and biases as the NPU reads them, brought into rows and columns.
 *
 * A matrix [outputs, inputs] lies in memory as blocks, which the tensor names in `stored` by six
 * numbers each: groups of outputs, groups of inputs, 1, 1, outputs of a group, inputs of a group.
 * Blocks that fill a range of outputs stand beside each other and are interleaved group by group:
 * all inputs of the first group of outputs, then those of the second; inside, row by row. What is
 * over the shape is padding. A bias is plain float32 in float16 layers, and int32 in int8 layers
 * whose weights have one scale. Where every output has its own, it comes in groups of eight: eight
 * int32 sums, eight int16 zero points of the weights, negated, and eight uint16 multipliers. Found
 * out on networks whose numbers were known.
 */

import { FormatError, quote } from "../base/errors.ts";
import { shapeText } from "../base/text.ts";
import type { RknnGraphTensor } from "./rknn_graph.ts";
import { decodeElements } from "./tensor.ts";

export interface RknnMatrix {
  readonly dtype: "float16" | "int8";
  readonly outputs: number;
  readonly inputs: number;
  /** Row-major, shape [outputs, inputs]. */
  readonly values: Float32Array | Int8Array;
  /** Where the block begins in the file. */
  readonly offset: number;
  /** Where the element of a row and column lies in the file. */
  offsetOf(output: number, input: number): number;
}

export interface RknnBias {
  readonly dtype: "float32" | "int32";
  /** Shape [outputs]. */
  readonly values: Float32Array | Int32Array;
  readonly offset: number;
  /** Where every output has its own scale: the weights' zero points and multipliers, [outputs]. */
  readonly channels?: { readonly zeroPoints: Int16Array; readonly multipliers: Uint16Array };
}

/** Groups of eight outputs in an int32 bias: 8 · (4 + 2 + 2) bytes. */
const CHANNELS = 8;
const GROUP_BYTES = 64;
/** A bias is padded to as many outputs, its groups too. */
const PADDING = 32;

/** Throws FormatError when the blocks do not fill the shape, or the bytes do not fill the blocks. */
export function decodeMatrix(tensor: RknnGraphTensor): RknnMatrix {
  const { name, dtype, shape, stored, content } = tensor;
  const [outputs = 0, inputs = 0, ...rest] = shape;
  if ((dtype !== "float16" && dtype !== "int8") || content === undefined) {
    throw new FormatError(`tensor ${quote(name)} is no weight of float16 or int8`, "UNSUPPORTED");
  }
  const isMatrix = outputs > 0 && inputs > 0 && rest.every((size) => size === 1);
  if (!isMatrix || outputs * inputs > content.data.length) {
    throw new FormatError(
      `tensor ${quote(name)} has shape ${shapeText(shape)} in ${content.data.length} bytes, ` +
        "need a matrix",
    );
  }
  const rows = readStrips(name, stored, outputs, inputs);
  const itemBytes = dtype === "float16" ? 2 : 1;
  const needed = rows.reduce((sum, { groups, size, width }) => sum + groups * size * width, 0);
  if (needed * itemBytes !== content.data.length) {
    throw new FormatError(
      `tensor ${quote(name)} has ${content.data.length} bytes, but its blocks ` +
        `${shapeText(stored)} need ${needed * itemBytes}`,
    );
  }
  const places = placeElements(rows, outputs, inputs);
  const elements = decodeElements(dtype, content.data) as Float32Array | Int8Array;
  const Values = dtype === "float16" ? Float32Array : Int8Array;
  const values = new Values(outputs * inputs);
  for (let i = 0; i < values.length; i++) values[i] = elements[places[i] as number] as number;
  return {
    dtype,
    outputs,
    inputs,
    values,
    offset: content.offset,
    offsetOf: (output, input) =>
      content.offset + itemBytes * (places[output * inputs + input] as number),
  };
}

/** Blocks that stand beside each other: `groups` times `size` outputs, each `width` inputs wide. */
interface Strip {
  readonly groups: number;
  readonly size: number;
  readonly width: number;
  readonly tiles: readonly { readonly count: number; readonly width: number }[];
}

function readStrips(
  name: string,
  stored: readonly number[],
  outputs: number,
  inputs: number,
): Strip[] {
  const strips: Strip[] = [];
  let [rows, at] = [0, 0];
  while (rows < outputs && at < stored.length) {
    const [groups = 0, , , , size = 0] = stored.slice(at, at + 6);
    const tiles: { count: number; width: number }[] = [];
    let width = 0;
    for (; width < inputs && at < stored.length; at += 6) {
      const [g, count = 0, one, another, s, tile = 0] = stored.slice(at, at + 6);
      const isBeside = g === groups && s === size && one === 1 && another === 1;
      if (!isBeside || count < 1 || tile < 1 || groups < 1 || size < 1) throw badBlocks();
      tiles.push({ count, width: tile });
      width += count * tile;
    }
    if (width < inputs) throw badBlocks();
    strips.push({ groups, size, width, tiles });
    rows += groups * size;
  }
  if (rows < outputs || at !== stored.length) throw badBlocks();
  return strips;

  function badBlocks(): FormatError {
    return new FormatError(
      `tensor ${quote(name)} has blocks ${shapeText(stored)}, which do not fill ` +
        shapeText([outputs, inputs]),
    );
  }
}

/** Index in memory of each element, row-major. The strips hold all of them. */
function placeElements(strips: readonly Strip[], outputs: number, inputs: number): Uint32Array {
  const places = new Uint32Array(outputs * inputs);
  let [row, start] = [0, 0];
  for (const { groups, size, width, tiles } of strips) {
    for (let group = 0; group < groups && row < outputs; group++) {
      const rows = Math.min(size, outputs - row);
      let [column, at] = [0, start];
      for (const tile of tiles.flatMap(({ count, width: one }) => Array(count).fill(one))) {
        const columns = Math.min(tile as number, Math.max(inputs - column, 0));
        for (let r = 0; r < rows; r++) {
          const from = at + r * (tile as number);
          const to = (row + r) * inputs + column;
          for (let c = 0; c < columns; c++) places[to + c] = from + c;
        }
        column += tile as number;
        at += size * (tile as number);
      }
      row += rows;
      start += size * width;
    }
  }
  return places;
}

/** Throws FormatError when there are fewer bytes than outputs. */
export function decodeBias(tensor: RknnGraphTensor, outputs: number): RknnBias {
  const { name, dtype, content } = tensor;
  if ((dtype !== "float32" && dtype !== "int32") || content === undefined) {
    throw new FormatError(`tensor ${quote(name)} is no bias of float32 or int32`, "UNSUPPORTED");
  }
  const { data, offset } = content;
  if (data.length < 4 * outputs) {
    throw new FormatError(
      `tensor ${quote(name)} has ${data.length} bytes, but ${outputs} outputs need ${4 * outputs}`,
    );
  }
  const paddedBytes = 4 * PADDING * Math.ceil(outputs / PADDING);
  if (dtype === "int32" && data.length >= 2 * paddedBytes)
    return decodeGroups(data, offset, outputs);
  const values = decodeElements(dtype, data.subarray(0, 4 * outputs));
  return { dtype, values: values as Float32Array | Int32Array, offset };
}

/** The bias of a layer whose weights have a scale per output. */
function decodeGroups(data: Uint8Array, offset: number, outputs: number): RknnBias {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const values = new Int32Array(outputs);
  const zeroPoints = new Int16Array(outputs);
  const multipliers = new Uint16Array(outputs);
  for (let i = 0; i < outputs; i++) {
    const start = Math.floor(i / CHANNELS) * GROUP_BYTES;
    const channel = i % CHANNELS;
    values[i] = view.getInt32(start + 4 * channel, true);
    zeroPoints[i] = -view.getInt16(start + 4 * CHANNELS + 2 * channel, true);
    multipliers[i] = view.getUint16(start + 6 * CHANNELS + 2 * channel, true);
  }
  return { dtype: "int32", values, offset, channels: { zeroPoints, multipliers } };
}

/** Where the sum of an output lies in the file. */
export function biasOffset(bias: RknnBias, output: number): number {
  if (bias.channels === undefined) return bias.offset + 4 * output;
  const group = Math.floor(output / CHANNELS);
  return bias.offset + group * GROUP_BYTES + 4 * (output % CHANNELS);
}
