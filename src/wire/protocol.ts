/**
 * The framed protocol in code; PROTOCOL.md is what it means. Headers are read into and written
 * from objects that the caller keeps, so that nothing is allocated for a request.
 */

import * as v from "valibot";
import { assert } from "../base/assert.ts";
import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";

/** Bytes `4C 33 F4 7F`: a NaN as float32, so no finite observation begins with it. */
export const MAGIC = 0x7ff4334c;
export const MAGIC_BYTES = 4;
export const PROTOCOL_VERSION = 1;
export const REQUEST_BYTES = 32;
export const ANSWER_BYTES = 32;
/** Rows of one request: a vectorised simulator's batch, at 4 kB a row a quarter of a MiB. */
export const ROWS_MAX = 64;
/** Bytes of the reason that an answer without an action carries. */
export const REASON_BYTES_MAX = 512;
/** Bytes of a hello's payload: names of some thousand observations. */
export const HELLO_BYTES_MAX = 64 << 10;

export const KIND = { hello: 1, infer: 2, helloAnswer: 0x8001, inferAnswer: 0x8002 } as const;
export const FLAG = { reset: 1 } as const;
export const STATUS = {
  ok: 0,
  fallback: 1,
  degraded: 2,
  badInput: 16,
  deadlineMissed: 17,
  busy: 18,
  failed: 19,
} as const;

/** Does an answer of this status carry an action? True of those to come as well. */
export const hasAction = (status: number): boolean => status < STATUS.badInput;

const STATUS_NAMES: Readonly<Record<number, string>> = {
  [STATUS.ok]: "ok",
  [STATUS.fallback]: "fallback",
  [STATUS.degraded]: "degraded",
  [STATUS.badInput]: "bad input",
  [STATUS.deadlineMissed]: "deadline missed",
  [STATUS.busy]: "busy",
  [STATUS.failed]: "failed",
};

/** `bad input`, as people read it. */
export function statusName(status: number): string {
  return STATUS_NAMES[status] ?? `status ${status}`;
}

/** Header of a request, without the magic. */
export interface RequestHeader {
  kind: number;
  flags: number;
  id: number;
  payloadBytes: number;
  /** 0: none. */
  deadlineUs: number;
  rows: number;
  version: number;
  /** On CLOCK_MONOTONIC; 0: not said. Exact up to 2^53, 285 years. */
  sentAtUs: number;
}

/** Header of an answer, without the magic. */
export interface AnswerHeader {
  kind: number;
  status: number;
  id: number;
  payloadBytes: number;
  /** From the frame's first byte read to its answer written. */
  serviceUs: number;
  rows: number;
  version: number;
  inferenceUs: number;
  /** Of the model: grows with each reload. */
  generation: number;
}

export function createRequestHeader(): RequestHeader {
  return {
    kind: KIND.infer,
    flags: 0,
    id: 0,
    payloadBytes: 0,
    deadlineUs: 0,
    rows: 0,
    version: PROTOCOL_VERSION,
    sentAtUs: 0,
  };
}

export function createAnswerHeader(): AnswerHeader {
  return {
    kind: KIND.inferAnswer,
    status: STATUS.ok,
    id: 0,
    payloadBytes: 0,
    serviceUs: 0,
    rows: 0,
    version: PROTOCOL_VERSION,
    inferenceUs: 0,
    generation: 0,
  };
}

export function hasMagic(view: DataView, at: number): boolean {
  return view.getUint32(at, true) === MAGIC;
}

/** Writes `header` with its magic at `at`; REQUEST_BYTES. */
export function encodeRequest(view: DataView, at: number, header: Readonly<RequestHeader>): void {
  view.setUint32(at, MAGIC, true);
  view.setUint16(at + 4, header.kind, true);
  view.setUint16(at + 6, header.flags, true);
  view.setUint32(at + 8, header.id, true);
  view.setUint32(at + 12, header.payloadBytes, true);
  view.setUint32(at + 16, header.deadlineUs, true);
  view.setUint16(at + 20, header.rows, true);
  view.setUint16(at + 22, header.version, true);
  view.setUint32(at + 24, header.sentAtUs, true);
  view.setUint32(at + 28, header.sentAtUs / 2 ** 32, true);
}

/** Reads the header at `at` into `header`; the magic is not looked at. */
export function decodeRequest(view: DataView, at: number, header: RequestHeader): void {
  header.kind = view.getUint16(at + 4, true);
  header.flags = view.getUint16(at + 6, true);
  header.id = view.getUint32(at + 8, true);
  header.payloadBytes = view.getUint32(at + 12, true);
  header.deadlineUs = view.getUint32(at + 16, true);
  header.rows = view.getUint16(at + 20, true);
  header.version = view.getUint16(at + 22, true);
  header.sentAtUs = view.getUint32(at + 28, true) * 2 ** 32 + view.getUint32(at + 24, true);
}

/** Writes `header` with its magic at `at`; ANSWER_BYTES. Times that do not fit are cut to 2^32-1. */
export function encodeAnswer(view: DataView, at: number, header: Readonly<AnswerHeader>): void {
  view.setUint32(at, MAGIC, true);
  view.setUint16(at + 4, header.kind, true);
  view.setUint16(at + 6, header.status, true);
  view.setUint32(at + 8, header.id, true);
  view.setUint32(at + 12, header.payloadBytes, true);
  view.setUint32(at + 16, Math.min(header.serviceUs, 0xffffffff), true);
  view.setUint16(at + 20, header.rows, true);
  view.setUint16(at + 22, header.version, true);
  view.setUint32(at + 24, Math.min(header.inferenceUs, 0xffffffff), true);
  view.setUint32(at + 28, header.generation, true);
}

/** Reads the header at `at` into `header`; the magic is not looked at. */
export function decodeAnswer(view: DataView, at: number, header: AnswerHeader): void {
  header.kind = view.getUint16(at + 4, true);
  header.status = view.getUint16(at + 6, true);
  header.id = view.getUint32(at + 8, true);
  header.payloadBytes = view.getUint32(at + 12, true);
  header.serviceUs = view.getUint32(at + 16, true);
  header.rows = view.getUint16(at + 20, true);
  header.version = view.getUint16(at + 22, true);
  header.inferenceUs = view.getUint32(at + 24, true);
  header.generation = view.getUint32(at + 28, true);
}

/**
 * Why a request's framing is bad, in the words of its answer; undefined where it is good.
 *
 * @param observationBytes of one row
 */
export function framingFault(
  header: Readonly<RequestHeader>,
  observationBytes: number,
): string | undefined {
  const { version, kind, flags, rows, payloadBytes } = header;
  if (version !== PROTOCOL_VERSION) {
    return `protocol version ${version} is not spoken here, need ${PROTOCOL_VERSION}`;
  }
  if (kind !== KIND.hello && kind !== KIND.infer) {
    return `kind ${kind} is not known, need ${KIND.hello} (hello) or ${KIND.infer} (infer)`;
  }
  const isHello = kind === KIND.hello;
  if (flags > (isHello ? 0 : FLAG.reset)) return `flags ${flags} are not known here`;
  if (isHello ? rows !== 0 : rows < 1 || rows > ROWS_MAX) {
    return `${rows} rows, need ${isHello ? "0 in a hello" : `1 to ${ROWS_MAX}`}`;
  }
  if (payloadBytes !== rows * observationBytes) {
    const need = isHello ? "none in a hello" : `${rows} × ${observationBytes}`;
    return `${payloadBytes} bytes of payload, need ${need}`;
  }
  return undefined;
}

/**
 * Why an answer's framing is bad; undefined where it is good.
 *
 * @param actionBytes of one row; 0 where it is not known, then no answer may carry an action
 * @param room bytes of payload that the caller can take
 */
export function answerFault(
  header: Readonly<AnswerHeader>,
  actionBytes: number,
  room: number,
): string | undefined {
  const { version, kind, status, rows, payloadBytes } = header;
  if (version !== PROTOCOL_VERSION) {
    return `its answer is of protocol version ${version}, need ${PROTOCOL_VERSION}`;
  }
  if (kind !== KIND.helloAnswer && kind !== KIND.inferAnswer) {
    return `its answer is of kind ${kind}, which is not known`;
  }
  const isAction = kind === KIND.inferAnswer && hasAction(status);
  if (isAction && (rows < 1 || actionBytes === 0 || payloadBytes !== rows * actionBytes)) {
    return `its answer has ${payloadBytes} bytes for ${rows} rows, need ${actionBytes} each`;
  }
  const most = hasAction(status) ? room : Math.min(room, REASON_BYTES_MAX);
  return payloadBytes > most
    ? `its answer has ${payloadBytes} bytes, need at most ${most}`
    : undefined;
}

const sha256 = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/));

export const aboutSchema = v.object({
  program: v.string(),
  version: v.string(),
  protocols: v.array(v.pipe(v.number(), v.integer())),
  model: v.object({ file: v.string(), version: v.exactOptional(v.string()), sha256 }),
  generation: v.pipe(v.number(), v.integer(), v.minValue(1)),
  backend: v.string(),
  evidence: v.string(),
  normalizer: v.string(),
  /** As the training run says it: src/policy/contract_yaml.ts. */
  contract: v.nullable(v.record(v.string(), v.unknown())),
  observationNames: v.exactOptional(v.array(v.string())),
  actionNames: v.exactOptional(v.array(v.string())),
  controlPeriodMs: v.exactOptional(v.pipe(v.number(), v.gtValue(0))),
});

/** The JSON of a hello's answer. */
export type About = v.InferOutput<typeof aboutSchema>;

/** What a service says of itself. */
export interface Hello {
  readonly observationSize: number;
  readonly actionSize: number;
  /** Rows that one request may have. */
  readonly rowsMax: number;
  readonly isRecurrent: boolean;
  readonly about: Readonly<About>;
}

const HELLO_FIXED_BYTES = 48;
const RECURRENT = 1;

/** Payload of a hello's answer; leaves the names out where they do not fit HELLO_BYTES_MAX. */
export function encodeHello(hello: Hello): Uint8Array {
  const { observationNames: _o, actionNames: _a, ...bare } = hello.about;
  const full = new TextEncoder().encode(JSON.stringify(hello.about));
  const fits = full.length <= HELLO_BYTES_MAX - HELLO_FIXED_BYTES;
  const json = fits ? full : new TextEncoder().encode(JSON.stringify(bare));
  assert(json.length <= HELLO_BYTES_MAX - HELLO_FIXED_BYTES, "hello's JSON is too long");
  const bytes = new Uint8Array(HELLO_FIXED_BYTES + json.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, hello.observationSize, true);
  view.setUint32(4, hello.actionSize, true);
  view.setUint32(8, hello.rowsMax, true);
  view.setUint32(12, hello.isRecurrent ? RECURRENT : 0, true);
  bytes.set(Buffer.from(hello.about.model.sha256, "hex"), 16);
  bytes.set(json, HELLO_FIXED_BYTES);
  return bytes;
}

/** Reads the payload of a hello's answer. Throws FormatError for anything but a whole one. */
export function parseHello(bytes: Uint8Array): Hello {
  if (bytes.length <= HELLO_FIXED_BYTES || bytes.length > HELLO_BYTES_MAX) {
    throw new FormatError(`its hello has ${bytes.length} bytes, need 49 to ${HELLO_BYTES_MAX}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [observationSize, actionSize, rowsMax] = [0, 4, 8].map((at) => view.getUint32(at, true));
  if (!isWidth(observationSize) || !isWidth(actionSize) || !rowsMax) {
    throw new FormatError(
      `its hello says ${observationSize} observations, ${actionSize} actions, ${rowsMax} rows, ` +
        `need 1 to ${LIMITS.vectorWidth} numbers and at least a row`,
    );
  }
  const about = parseAbout(bytes.subarray(HELLO_FIXED_BYTES));
  if (Buffer.from(bytes.subarray(16, HELLO_FIXED_BYTES)).toString("hex") !== about.model.sha256) {
    throw new FormatError("its hello names two models: the digest is not that of its JSON");
  }
  const isRecurrent = (view.getUint32(12, true) & RECURRENT) !== 0;
  return { observationSize, actionSize, rowsMax, isRecurrent, about };
}

const isWidth = (size: number | undefined): size is number =>
  size !== undefined && size >= 1 && size <= LIMITS.vectorWidth;

function parseAbout(bytes: Uint8Array): About {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    throw new FormatError("its hello is not followed by JSON");
  }
  const result = v.safeParse(aboutSchema, value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new FormatError(`its hello's ${v.getDotPath(issue) ?? "JSON"}: ${issue.message}`);
}
