/**
 * The first requests, before anybody else's: through socket pairs of the engine's own, so that the
 * whole path has run, raw and framed, when the first client comes.
 */

import { quantileSorted } from "simple-statistics";
import { monotonicUs } from "../../ffi/clock.ts";
import { CLOSED, closeSocket, receive, send, socketPair } from "../../ffi/socket.ts";
import { Lite3Error } from "../base/errors.ts";
import { usualObservation } from "./inference.ts";
import type { Policy } from "../runtime/policy.ts";
import type { OpenCommand, ReadyEvent } from "../service/control.ts";
import {
  ANSWER_BYTES,
  createRequestHeader,
  encodeRequest,
  REQUEST_BYTES,
} from "../wire/protocol.ts";

/**
 * What runs on this very CPU is asked on for so long: JavaScript is compiled after some thousand
 * calls, and until then a request takes two to three times as long. Uncounted.
 */
const SETTLE_US = 40_000;

/** Where the engine's loop is asked, and turned by hand. */
export interface Loop {
  /** Gives the engine its end of a socket pair. */
  adopt(fd: number): void;
  turn(): void | Promise<void>;
}

/**
 * @param command how many, and observations to try before
 * @throws what the policy throws, for the mean observation or zeroes
 */
export async function warmUp(
  policy: Policy,
  command: Pick<OpenCommand, "warmup" | "probe">,
  loop: Loop,
): Promise<ReadyEvent["warmup"]> {
  const { warmup: count, probe = [] } = command;
  const action = new Float32Array(policy.actionSize);
  // Of another width they are another policy's, which the supervisor tells by its own means.
  for (const values of probe.filter(({ length }) => length === policy.observationSize)) {
    await policy.act(Float32Array.from(values), action, policy.backend.createState());
  }
  if (count === 0) return { count, p50Us: 0, maxUs: 0 };
  const observation = usualObservation(policy);
  // What is wrong with the model is best said by the model.
  await policy.act(observation, action, policy.backend.createState());
  const request = new Uint8Array(observation.buffer);
  using raw = new Line(loop, request, action.byteLength);
  using framed = new Line(loop, frame(request), ANSWER_BYTES + action.byteLength);
  const timesUs: number[] = [];
  for (let i = 0; i < count; i++) {
    const startedUs = monotonicUs();
    await raw.ask();
    timesUs.push(monotonicUs() - startedUs);
  }
  const settledUs = monotonicUs() + (policy.backend.name === "mlp" ? SETTLE_US : 0);
  while (monotonicUs() < settledUs) {
    await raw.ask();
    await framed.ask();
  }
  const sorted = timesUs.sort((a, b) => a - b);
  return { count, p50Us: quantileSorted(sorted, 0.5), maxUs: sorted.at(-1) ?? 0 };
}

function frame(payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES + payload.length);
  const header = { ...createRequestHeader(), rows: 1, payloadBytes: payload.length };
  encodeRequest(new DataView(bytes.buffer), 0, header);
  bytes.set(payload, REQUEST_BYTES);
  return bytes;
}

/** A client in the engine itself. The engine sees it leave at a turn of its loop. */
class Line implements Disposable {
  readonly #loop: Loop;
  readonly #fd: number;
  readonly #request: Uint8Array;
  readonly #answer: Uint8Array;

  constructor(loop: Loop, request: Uint8Array, answerBytes: number) {
    const [ours, theirs] = socketPair();
    this.#loop = loop;
    this.#fd = ours;
    this.#request = request;
    this.#answer = new Uint8Array(answerBytes);
    loop.adopt(theirs);
  }

  /** Sends the request and turns the loop until the answer is there. */
  async ask(): Promise<void> {
    const [request, answer] = [this.#request, this.#answer];
    let [sent, received] = [0, 0];
    while (received < answer.length) {
      if (sent < request.length) {
        const rest = request.subarray(sent);
        sent += Math.max(0, send(this.#fd, rest, rest.length));
      }
      await this.#loop.turn();
      const came = receive(this.#fd, answer.subarray(received));
      if (came === CLOSED) throw new Lite3Error("NATIVE", "Cannot warm up: the model failed");
      received += Math.max(0, came);
    }
  }

  [Symbol.dispose](): void {
    closeSocket(this.#fd);
  }
}
