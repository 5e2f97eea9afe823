/**
 * For tests: a framed service that behaves as its arguments say, also badly, in a process of its
 * own (our client blocks). Independent of our own service.
 *
 * An action is made of its observation: action[i] = observation[0] + i / 4, and for a recurrent
 * policy 100 more with every step of the episode.
 */

import { RequestFramer } from "./framer.ts";
import {
  ANSWER_BYTES,
  type AnswerHeader,
  createAnswerHeader,
  encodeAnswer,
  encodeHello,
  FLAG,
  hasAction,
  type Hello,
  KIND,
  ROWS_MAX,
} from "./protocol.ts";

export const DIGEST = "0123456789abcdef".repeat(4);

export const HELLO: Hello = {
  observationSize: 4,
  actionSize: 2,
  rowsMax: ROWS_MAX,
  isRecurrent: false,
  about: {
    program: "scripted",
    version: "1",
    protocols: [1],
    model: { file: "policy.onnx", sha256: DIGEST },
    generation: 1,
    backend: "mlp",
    evidence: "cpu",
    normalizer: "folded",
    contract: null,
  },
};

/** What the nth answer, the hello's being 0, is like. */
export interface Answer extends Partial<AnswerHeader> {
  readonly delayMs?: number;
  /** Sends it in pieces of this size. */
  readonly piece?: number;
  /** The payload instead of the action. */
  readonly text?: string;
  /** Bytes that follow it. */
  readonly trailing?: string;
  /** Closes the connection instead. */
  readonly close?: boolean;
  readonly silence?: boolean;
  /** Flips the first byte. */
  readonly broken?: boolean;
}

export interface FramedScript {
  readonly hello?: Hello;
  /** By number, over all connections; answers that are not here are right. */
  readonly answers?: Readonly<Record<number, Answer>>;
}

/** Starts it; dispose of it to end it. */
export async function startFramed(path: string, script: FramedScript = {}): Promise<Disposable> {
  const child = Bun.spawn([process.execPath, import.meta.path, path, JSON.stringify(script)], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 60_000,
  });
  const { done } = await child.stdout[Symbol.asyncIterator]().next();
  if (done) throw new Error("the scripted service did not start");
  return { [Symbol.dispose]: () => child.kill("SIGKILL") };
}

interface Client {
  readonly framer: RequestFramer;
  readonly observations: Float32Array;
  steps: number;
  queue: Promise<void>;
}

function actionsOf({ framer, observations, steps }: Client, hello: Hello): Float32Array {
  const { rows } = framer.request;
  const { observationSize, actionSize, isRecurrent } = hello;
  return Float32Array.from({ length: rows * actionSize }, (_, i) => {
    const row = Math.floor(i / actionSize);
    const of = isRecurrent ? 100 * (steps + row) : 0;
    return (observations[row * observationSize] ?? 0) + (i % actionSize) / 4 + of;
  });
}

function answerTo(client: Client, hello: Hello, { text, broken, trailing, ...fields }: Answer) {
  const { request } = client.framer;
  if ((request.flags & FLAG.reset) !== 0) client.steps = 0;
  const isHello = request.kind === KIND.hello;
  const header = {
    ...createAnswerHeader(),
    kind: isHello ? KIND.helloAnswer : KIND.inferAnswer,
    id: request.id,
    rows: hasAction(fields.status ?? 0) ? request.rows : 0,
    generation: 1,
    serviceUs: 20,
    inferenceUs: 10,
  };
  const right = isHello ? encodeHello(hello) : new Uint8Array(actionsOf(client, hello).buffer);
  const payload = text === undefined ? right : new TextEncoder().encode(text);
  client.steps += request.rows;
  const frame = new Uint8Array(ANSWER_BYTES + payload.length);
  encodeAnswer(new DataView(frame.buffer), 0, {
    ...header,
    payloadBytes: payload.length,
    ...fields,
  });
  frame.set(payload, ANSWER_BYTES);
  if (broken === true) frame[0]! ^= 1;
  return Buffer.concat([frame, new TextEncoder().encode(trailing ?? "")]);
}

async function send(socket: Bun.Socket<Client>, frame: Uint8Array, { delayMs, piece }: Answer) {
  if (delayMs !== undefined) await Bun.sleep(delayMs);
  const step = piece ?? frame.length;
  for (let at = 0; at < frame.length; at += step) {
    socket.write(frame.subarray(at, at + step));
    if (step < frame.length) await Bun.sleep(1);
  }
}

function listen(path: string, { hello = HELLO, answers = {} }: FramedScript): void {
  let count = 0;
  Bun.listen<Client>({
    unix: path,
    socket: {
      open(socket) {
        const observations = new Float32Array(hello.observationSize * ROWS_MAX);
        const framer = new RequestFramer(observations);
        socket.data = { framer, observations, steps: 0, queue: Promise.resolve() };
      },
      data(socket, bytes) {
        const client = socket.data;
        const { framer } = client;
        for (let at = 0; at < bytes.length;) {
          const part = bytes.subarray(at, at + framer.buffer.length - framer.filled);
          framer.buffer.set(part, framer.filled);
          framer.received(part.length);
          at += part.length;
          while (framer.next() === "frame") {
            const answer = answers[count++] ?? {};
            if (answer.close === true) socket.end();
            if (answer.close === true || answer.silence === true) continue;
            const frame = answerTo(client, hello, answer);
            client.queue = client.queue.then(() => send(socket, frame, answer));
          }
        }
      },
    },
  });
}

if (import.meta.main) {
  const [path = "", text = "{}"] = process.argv.slice(2);
  listen(path, JSON.parse(text) as FramedScript);
  await Bun.write(Bun.stdout, "listening\n");
}
