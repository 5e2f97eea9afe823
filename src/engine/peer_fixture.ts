/**
 * For tests: what the demo policy answers by the kernel, and a framed client on Bun's sockets.
 */

import { DEMO_POLICY, readGoldenActions } from "../policy/policy_fixture.ts";
import { openPolicy } from "../runtime/open.ts";
import { type Address, Client } from "../serve/service_fixture.ts";
import {
  ANSWER_BYTES,
  type AnswerHeader,
  createAnswerHeader,
  createRequestHeader,
  decodeAnswer,
  encodeRequest,
  REQUEST_BYTES,
  type RequestHeader,
} from "../wire/protocol.ts";

export interface Exchange {
  readonly observations: readonly Float32Array[];
  readonly actions: readonly Float32Array[];
}

/** The golden observations, and the kernel's actions for them. */
export async function computeByKernel(model: string): Promise<Exchange> {
  const golden = await readGoldenActions();
  using policy = await openPolicy(model, DEMO_POLICY.obsStats, { backend: "mlp" });
  const state = policy.backend.createState();
  const observations: Float32Array[] = [];
  const actions: Float32Array[] = [];
  for (let row = 0; row < golden.rows; row++) {
    const observation = golden.observations.slice(row * 45, (row + 1) * 45);
    const action = new Float32Array(12);
    await policy.act(observation, action, state);
    observations.push(observation);
    actions.push(action);
  }
  return { observations, actions };
}

export const bytesOf = (values: Float32Array): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));

/** One request of rows of 45 observations. */
export function frame(
  fields: Partial<RequestHeader>,
  observations: Float32Array,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(REQUEST_BYTES + observations.byteLength);
  const rows = observations.length / 45;
  const payloadBytes = observations.byteLength;
  encodeRequest(new DataView(bytes.buffer), 0, {
    ...createRequestHeader(),
    rows,
    payloadBytes,
    ...fields,
  });
  bytes.set(bytesOf(observations), REQUEST_BYTES);
  return bytes;
}

export interface Answer {
  readonly header: AnswerHeader;
  /** Of an answer that has one. */
  readonly action: Float32Array;
  /** Of one that has not. */
  readonly reason: string;
}

export class FramedPeer {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
  }

  static async connect(address: Address): Promise<FramedPeer> {
    return new FramedPeer(await Client.connect(address, 1));
  }

  /** The next answer; undefined where the service ended the connection. */
  async answer(): Promise<Answer | undefined> {
    const head = await this.#read(ANSWER_BYTES);
    if (head.length < ANSWER_BYTES) return undefined;
    const header = createAnswerHeader();
    decodeAnswer(new DataView(head.buffer), 0, header);
    const payload = await this.#read(header.payloadBytes);
    const hasAction = header.status < 16;
    return {
      header,
      action: hasAction ? new Float32Array(payload.buffer) : new Float32Array(0),
      reason: hasAction ? "" : new TextDecoder().decode(payload),
    };
  }

  async #read(bytes: number): Promise<Uint8Array<ArrayBuffer>> {
    return Uint8Array.from(Buffer.concat(await this.client.take(bytes)));
  }
}
