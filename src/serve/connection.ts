/**
 * One client of the service: its framer, and its answers on the way out. All memory is allocated
 * when it connects.
 */

import { CLOSED, closeSocket, receive, send, WOULD_BLOCK } from "../../ffi/socket.ts";
import type { Policy } from "../runtime/policy.ts";
import type { PolicyState } from "../runtime/backend.ts";
import { RequestFramer } from "../wire/framer.ts";
import { REQUEST_BYTES, ROWS_MAX } from "../wire/protocol.ts";

export type Flow =
  /** Nothing left to do until the client sends more. */
  | "idle"
  /** Answers wait until the client reads; nothing is read from it meanwhile. */
  | "blocked"
  | "closed";

export class Connection {
  readonly fd: number;
  readonly #policy: Policy;
  readonly #state: PolicyState;
  readonly #observation: Float32Array;
  readonly #action: Float32Array;
  readonly #actionBytes: Uint8Array;
  readonly #framer: RequestFramer;
  readonly #output: Uint8Array;
  #queued = 0;
  #sent = 0;
  /** Why the connection ends once its answers are sent. */
  #ending: Error | undefined;
  answered = 0;

  constructor(fd: number, policy: Policy) {
    this.fd = fd;
    this.#policy = policy;
    this.#state = policy.backend.createState();
    const observations = new Float32Array(policy.observationSize * ROWS_MAX);
    this.#observation = observations.subarray(0, policy.observationSize);
    this.#action = new Float32Array(policy.actionSize);
    this.#actionBytes = new Uint8Array(this.#action.buffer);
    this.#framer = new RequestFramer(observations);
    this.#output = new Uint8Array((ROWS_MAX + REQUEST_BYTES) * this.#actionBytes.length);
  }

  /** The error that ended the connection, if one did. */
  get ending(): Error | undefined {
    return this.#ending;
  }

  /** Do answers wait until the client reads? Then nothing may be read from it. */
  get isBlocked(): boolean {
    return this.#queued > 0;
  }

  /** Did the client leave in the middle of an observation? */
  get isPartial(): boolean {
    return this.#framer.isPartial;
  }

  /** Takes what the client sent and answers every whole observation in it. */
  async serve(): Promise<Flow> {
    const { buffer, filled } = this.#framer;
    const count = receive(this.fd, filled === 0 ? buffer : buffer.subarray(filled));
    if (count === WOULD_BLOCK) return "idle";
    if (count === CLOSED) return "closed";
    this.#framer.received(count);
    while (this.#ending === undefined && this.#framer.next() === "frame") await this.#answer();
    if (this.#framer.protocol === "framed") this.#ending = new Error("it speaks framed");
    return this.flush();
  }

  /** Sends what is queued. */
  flush(): Flow {
    while (this.#sent < this.#queued) {
      const rest = this.#sent === 0 ? this.#output : this.#output.subarray(this.#sent);
      const count = send(this.fd, rest, this.#queued - this.#sent);
      if (count === WOULD_BLOCK) return "blocked";
      if (count === CLOSED) return "closed";
      this.#sent += count;
    }
    this.#queued = 0;
    this.#sent = 0;
    return this.#ending === undefined ? "idle" : "closed";
  }

  close(): void {
    closeSocket(this.fd);
  }

  /** Appends one action, or marks the connection as ending: raw bytes cannot carry a refusal. */
  async #answer(): Promise<void> {
    try {
      await this.#policy.act(this.#observation, this.#action, this.#state);
    } catch (error) {
      this.#ending = error instanceof Error ? error : new Error(String(error));
      return;
    }
    this.#output.set(this.#actionBytes, this.#queued);
    this.#queued += this.#actionBytes.length;
    this.answered++;
  }
}
