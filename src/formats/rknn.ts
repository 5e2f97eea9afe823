/**
 * The .rknn container of rknn-toolkit2: a header of 64 bytes, a FlatBuffer that only the NPU's
 * library understands, and JSON that says what it is for.
 *
 * Header: `RKNN`, four zeros, u64 version, u64 bytes of the payload, zeros. The payload begins at
 * 64 with the FlatBuffer identifier `RKNN` at its byte 4; u64 length and JSON follow, up to the
 * end of the file exactly. Learned from files of toolkit 1.6.1, 1.6.2, 2.3.1 and 2.5.0. The
 * library aborts the process on a file without its JSON, so a file is checked here first.
 */

import * as v from "valibot";
import { FormatError, quote } from "../base/errors.ts";
import { memorySource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { describeStart } from "./zip.ts";

/** `RKNN` and four zeros. */
const MAGIC = "RKNN\0\0\0\0";
const ENCRYPTED_MAGIC = "CYPTRKNN";
/** What every file seen so far has. */
const VERSION = 6;
export const HEADER_BYTES = 64;
/** Of the FlatBuffer in the payload: at byte 4 of any FlatBuffer that has one. */
const PAYLOAD_IDENTIFIER = "RKNN";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const NormTensor = v.looseObject({
  tensor_id: count,
  /** The tensor's name. */
  url: v.string(),
  size: v.pipe(v.array(count), v.maxLength(LIMITS.tensorRank)),
  /** All empty for float16; `layer`, `int8`, `int8` for w8a8. */
  dtype: v.looseObject({ qnt_method: v.string(), qnt_type: v.string(), vx_type: v.string() }),
});

const GraphEdge = v.looseObject({
  left: v.string(),
  left_tensor_id: count,
  right: v.string(),
  right_tensor_id: count,
});

/** What is used of the JSON; the rest is kept as it is. */
const RknnDocument = v.looseObject({
  /** Of the toolkit that wrote it. */
  version: v.string(),
  target_platform: v.pipe(v.array(v.string()), v.minLength(1)),
  input_num: count,
  output_num: count,
  norm_tensor: v.array(NormTensor),
  graph: v.array(GraphEdge),
  name: v.optional(v.string()),
  ori_network_platform: v.optional(v.string()),
  custom_string: v.optional(v.string()),
});

export type RknnDocument = v.InferOutput<typeof RknnDocument>;

/** An input or output as the file declares it. */
export interface RknnTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** `float16`, or what it is quantised to: `int8`. */
  readonly dtype: string;
}

export interface RknnFile {
  /** Of the container. */
  readonly version: number;
  readonly payloadBytes: number;
  readonly document: RknnDocument;
  /** In the order in which the library numbers them. */
  readonly inputs: readonly RknnTensor[];
  readonly outputs: readonly RknnTensor[];
}

/** Whether the file begins as a .rknn does, in the clear or encrypted. */
export function isRknn(start: Uint8Array): boolean {
  return [MAGIC, ENCRYPTED_MAGIC].includes(Buffer.from(start).toString("latin1", 0, MAGIC.length));
}

/**
 * Reads header and JSON; the payload stays opaque. Throws FormatError with the offset:
 * UNSUPPORTED for an encrypted file or another version, else MALFORMED.
 */
export function parseRknn(bytes: Uint8Array): RknnFile {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const magic = buffer.toString("latin1", 0, MAGIC.length);
  if (magic === ENCRYPTED_MAGIC) {
    throw new FormatError(
      "it is an encrypted .rknn (CYPTRKNN), need one in the clear",
      "UNSUPPORTED",
    );
  }
  if (magic !== MAGIC) {
    throw new FormatError(`${describeStart(memorySource(bytes))}, need a .rknn file`);
  }
  if (buffer.length < HEADER_BYTES) {
    throw new FormatError(
      `the header needs ${HEADER_BYTES} bytes, but the file has ${buffer.length}`,
    );
  }
  const version = readLength(buffer, 8);
  if (version !== VERSION) {
    throw new FormatError(`version ${version} at offset 8, need ${VERSION}`, "UNSUPPORTED");
  }
  const payloadBytes = readLength(buffer, 16);
  const payloadEnd = HEADER_BYTES + payloadBytes;
  checkPayload(buffer, payloadBytes);
  const document = parseDocument(readTail(buffer, payloadEnd), payloadEnd + 8);
  return {
    version,
    payloadBytes,
    document,
    inputs: findTensors(document, "input", document.input_num),
    outputs: findTensors(document, "output", document.output_num),
  };
}

/** A u64; one that no file can have is unsafe and therefore too large for every check. */
function readLength(buffer: Buffer, offset: number): number {
  return Number(buffer.readBigUInt64LE(offset));
}

function checkPayload(buffer: Buffer, payloadBytes: number): void {
  const left = buffer.length - HEADER_BYTES;
  if (payloadBytes > left) {
    throw new FormatError(
      `the payload needs ${payloadBytes} bytes from offset ${HEADER_BYTES}, but ${left} are left`,
    );
  }
  const identifier = buffer.toString("latin1", HEADER_BYTES + 4, HEADER_BYTES + 8);
  if (payloadBytes < 8 || identifier !== PAYLOAD_IDENTIFIER) {
    throw new FormatError(
      `the payload at offset ${HEADER_BYTES} has ${payloadBytes} bytes and the identifier ` +
        `${quote(identifier)}, need a FlatBuffer of ${quote(PAYLOAD_IDENTIFIER)}`,
    );
  }
}

/** The JSON's bytes, which must be the rest of the file. */
function readTail(buffer: Buffer, offset: number): Buffer {
  const left = buffer.length - offset - 8;
  if (left < 0) {
    throw new FormatError(
      `the JSON's length needs 8 bytes at offset ${offset}, but ${left + 8} are left`,
    );
  }
  const length = readLength(buffer, offset);
  if (length > LIMITS.rknnDocumentBytes) {
    throw new FormatError(
      `the JSON at offset ${offset + 8} claims ${length} bytes, at most ` +
        `${LIMITS.rknnDocumentBytes} are taken`,
      "TOO_LARGE",
    );
  }
  if (length !== left) {
    throw new FormatError(
      `the JSON at offset ${offset + 8} claims ${length} bytes, but ${left} are left`,
    );
  }
  return buffer.subarray(offset + 8);
}

function parseDocument(tail: Buffer, offset: number): RknnDocument {
  const at = `the JSON at offset ${offset}`;
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(tail));
  } catch (error) {
    throw new FormatError(`${at} is broken: ${error instanceof Error ? error.message : "no JSON"}`);
  }
  const checked = v.safeParse(RknnDocument, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const where = v.getDotPath(issue) ?? "the document";
  throw new FormatError(
    `${at}: ${where} is ${issue.received}, need ${issue.expected ?? "another"}`,
  );
}

/** The graph's edges name the tensor of every input and output by number. */
function findTensors(
  document: RknnDocument,
  side: "input" | "output",
  expected: number,
): RknnTensor[] {
  const edges = document.graph
    .filter(({ left, right }) => left === side && right === "norm_tensor")
    .toSorted((a, b) => a.left_tensor_id - b.left_tensor_id);
  if (edges.length !== expected || edges.some(({ left_tensor_id: id }, i) => id !== i)) {
    throw new FormatError(
      `the JSON has ${expected} as its ${side}_num, but its graph names ${side}s ` +
        `[${edges.map(({ left_tensor_id: id }) => id).join(", ")}]`,
    );
  }
  const tensors = new Map(document.norm_tensor.map((tensor) => [tensor.tensor_id, tensor]));
  return edges.map(({ left_tensor_id: id, right_tensor_id: tensorId }) => {
    const tensor = tensors.get(tensorId);
    if (tensor === undefined) {
      throw new FormatError(`the JSON's ${side} ${id} is tensor ${tensorId}, which is not there`);
    }
    return { name: tensor.url, shape: tensor.size, dtype: tensor.dtype.vx_type || "float16" };
  });
}
