/**
 * For tests: a service of the framed protocol that answers as the test says, also badly. It
 * listens in the test's own process, so the client has to run in another.
 */

import {
  ANSWER_BYTES,
  createAnswerHeader,
  createRequestHeader,
  decodeRequest,
  encodeAnswer,
  encodeHello,
  type AnswerHeader,
  KIND,
  REQUEST_BYTES,
  type RequestHeader,
  ROWS_MAX,
} from "../wire/protocol.ts";

export const SIZES = { observationSize: 3, actionSize: 2 } as const;

export interface Request extends Readonly<RequestHeader> {
  /** The header as it came. */
  readonly head: Uint8Array;
  readonly values: Float32Array;
  /** Which connection of the service, from 0. */
  readonly connection: number;
}

/** Answers a request by sending bytes, closing the socket, or not at all. */
export type Answer = (request: Request, socket: Bun.Socket<Connection>) => void;

interface Connection {
  readonly number: number;
  received: Uint8Array;
}

export interface FramedService extends Disposable {
  /** `unix:PATH` or `tcp:HOST:PORT`. */
  readonly address: string;
  /** Every request so far, hellos included. */
  readonly requests: Request[];
  /** What was asked for actions. */
  infers(): Request[];
  connections: number;
  answer: Answer;
  /** Ends every connection. */
  drop(): void;
}

/** Listens at a path, or at a free port of 127.0.0.1. */
export function listen(path: string | undefined, answer: Answer = answerWell): FramedService {
  const open = new Set<Bun.Socket<Connection>>();
  const handlers: Bun.SocketHandler<Connection> = {
    open(socket) {
      open.add(socket);
      socket.data = { number: service.connections++, received: new Uint8Array() };
    },
    data(socket, bytes) {
      const { data } = socket;
      data.received = Uint8Array.from(Buffer.concat([data.received, bytes]));
      for (let request = take(data); request !== undefined; request = take(data)) {
        service.requests.push(request);
        service.answer(request, socket);
      }
    },
    close: (socket) => void open.delete(socket),
    error() {},
  };
  let listener: Bun.SocketListener<Connection>;
  let address = `unix:${path}`;
  if (path === undefined) {
    const tcp = Bun.listen<Connection>({ hostname: "127.0.0.1", port: 0, socket: handlers });
    listener = tcp;
    address = `tcp:127.0.0.1:${tcp.port}`;
  } else {
    listener = Bun.listen<Connection>({ unix: path, socket: handlers });
  }
  const service: FramedService = {
    address,
    requests: [],
    infers: () => service.requests.filter(({ kind }) => kind === KIND.infer),
    connections: 0,
    answer,
    drop() {
      for (const socket of open) socket.terminate();
    },
    [Symbol.dispose]() {
      listener.stop(true);
      service.drop();
    },
  };
  return service;
}

function take(data: Connection): Request | undefined {
  const { received } = data;
  if (received.length < REQUEST_BYTES) return undefined;
  const view = new DataView(received.buffer, received.byteOffset);
  const header = createRequestHeader();
  decodeRequest(view, 0, header);
  const size = REQUEST_BYTES + header.payloadBytes;
  if (received.length < size) return undefined;
  data.received = received.slice(size);
  const values = new Float32Array(received.slice(REQUEST_BYTES, size).buffer);
  return { ...header, head: received.slice(0, REQUEST_BYTES), values, connection: data.number };
}

/** An answer's bytes; what is not said is as it should be. */
export function frame(
  request: Request,
  payload: Uint8Array,
  header: Partial<AnswerHeader> = {},
): Uint8Array {
  const bytes = new Uint8Array(ANSWER_BYTES + payload.length);
  const full = {
    ...createAnswerHeader(),
    kind: request.kind === KIND.hello ? KIND.helloAnswer : KIND.inferAnswer,
    id: request.id,
    payloadBytes: payload.length,
    rows: request.rows,
    generation: 1,
    ...header,
  };
  encodeAnswer(new DataView(bytes.buffer), 0, full);
  bytes.set(payload, ANSWER_BYTES);
  return bytes;
}

export const ABOUT = {
  program: "fixture",
  version: "1",
  protocols: [1],
  model: { file: "policy.onnx", sha256: "ab".repeat(32) },
  generation: 1,
  backend: "none",
  evidence: "unstated",
  normalizer: "none",
  contract: null,
};

export function helloFrame(request: Request, sizes: Partial<typeof SIZES> = {}): Uint8Array {
  const hello = { ...SIZES, rowsMax: ROWS_MAX, isRecurrent: true, about: ABOUT, ...sizes };
  return frame(request, encodeHello(hello));
}

/** What the fixture acts: per row, the first number of the observation, then that plus one. */
export function actionsOf(values: Float32Array): Float32Array<ArrayBuffer> {
  const { observationSize, actionSize } = SIZES;
  const rows = values.length / observationSize;
  return Float32Array.from({ length: rows * actionSize }, (_, i) => {
    return (values[Math.floor(i / actionSize) * observationSize] ?? NaN) + (i % actionSize);
  });
}

export function actionFrame(request: Request, header: Partial<AnswerHeader> = {}): Uint8Array {
  return frame(request, new Uint8Array(actionsOf(request.values).buffer), header);
}

export const reasonFrame = (request: Request, status: number, reason: string): Uint8Array =>
  frame(request, new TextEncoder().encode(reason), { status, rows: 0 });

/** As a service should; `infer` changes what it does for actions only. */
export const answering =
  (infer: Answer): Answer =>
  (request, socket) => {
    if (request.kind === KIND.hello) socket.write(helloFrame(request));
    else infer(request, socket);
  };

export const answerWell: Answer = answering((request, socket) => {
  socket.write(actionFrame(request));
});
