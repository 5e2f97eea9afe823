/**
 * One client: its requests as they come, its answers on the way out. All memory is allocated when
 * it connects, and what it may queue is bounded: who does not read is not read from.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { CLOSED, closeSocket, receive, send, WOULD_BLOCK } from "../../ffi/socket.ts";
import type { ListenerKind } from "../service/control.ts";
import { COUNTER, type EnginePage } from "../service/page.ts";
import { type Protocol, RequestFramer } from "../wire/framer.ts";
import {
  ANSWER_BYTES,
  createAnswerHeader,
  encodeAnswer,
  FLAG,
  hasAction,
  KIND,
  REASON_BYTES_MAX,
  ROWS_MAX,
  STATUS,
} from "../wire/protocol.ts";
import type { Recorder } from "./recorder.ts";
import type { Episode, Inference } from "./inference.ts";
import type { ServiceTimes } from "./service_times.ts";

/** What all connections of an engine share. */
export interface Service {
  readonly inference: Inference;
  readonly page: EnginePage;
  readonly times: ServiceTimes;
  readonly generation: number;
  readonly actionSize: number;
  /** The payload of a hello's answer. */
  readonly hello: Uint8Array;
  /** Takes the rows of the requests that have an action. */
  recorder: Recorder | undefined;
}

export type Flow =
  /** Nothing left to do until the client sends more. */
  | "idle"
  /** Answers wait until the client reads; nothing is read from it meanwhile. */
  | "blocked"
  | "closed";

/** A connection between two processes: everything but its file descriptor. */
export interface SavedConnection {
  readonly kind: ListenerKind;
  readonly protocol: Protocol;
  readonly ending?: string | undefined;
  readonly input: Uint8Array;
  readonly output: Uint8Array;
}

const header = createAnswerHeader();
const words = new TextEncoder();
const LATE = "the action was there too late";

const STATE_LOST = "another engine took over, and the policy's state is not with it";

export class Connection {
  readonly fd: number;
  readonly kind: ListenerKind;
  flow: Flow = "idle";
  /** Why the connection ends once its answers are sent. */
  ending: string | undefined;
  readonly #service: Service;
  readonly #episode: Episode;
  readonly #framer: RequestFramer;
  readonly #output: Uint8Array;
  readonly #view: DataView;
  /** Room that the longest answer needs. */
  readonly #longest: number;
  #queued = 0;
  #sent = 0;
  /** Every whole request that was received has been answered. */
  #isDry = true;

  constructor(fd: number, kind: ListenerKind, service: Service, saved?: SavedConnection) {
    this.fd = fd;
    this.kind = kind;
    this.#service = service;
    this.#episode = service.inference.createEpisode();
    this.#framer = new RequestFramer(service.inference.observations, saved?.protocol);
    const rowBytes = service.actionSize * 4;
    const payload = Math.max(service.hello.length, ROWS_MAX * rowBytes, REASON_BYTES_MAX);
    this.#longest = ANSWER_BYTES + payload;
    const room = this.#longest + ROWS_MAX * (ANSWER_BYTES + rowBytes);
    this.#output = new Uint8Array(Math.max(room, saved?.output.length ?? 0));
    this.#view = new DataView(this.#output.buffer);
    if (saved !== undefined) this.#restore(saved);
  }

  /** Did the client leave in the middle of a request? */
  get isPartial(): boolean {
    return this.#framer.isPartial;
  }

  /** Takes what the client sent and answers every whole request in it. */
  read(): void | Promise<void> {
    const { buffer, filled } = this.#framer;
    const count = receive(this.fd, filled === 0 ? buffer : buffer.subarray(filled));
    if (count === WOULD_BLOCK) return;
    if (count === CLOSED) {
      this.flow = "closed";
      return;
    }
    const { page, inference } = this.#service;
    (page.counters[COUNTER.bytesIn] as number) += count;
    inference.nowUs = monotonicUs();
    this.#framer.received(count, inference.nowUs);
    return this.#pump();
  }

  /** Goes on where the client was too slow, or where another engine left off. */
  resume(): void | Promise<void> {
    this.#service.inference.nowUs = monotonicUs();
    this.flush();
    if (this.flow === "idle" && !this.#isDry) return this.#pump();
  }

  /** Sends what is queued. */
  flush(): void {
    const { counters } = this.#service.page;
    while (this.#sent < this.#queued) {
      const rest = this.#sent === 0 ? this.#output : this.#output.subarray(this.#sent);
      const count = send(this.fd, rest, this.#queued - this.#sent);
      if (count === WOULD_BLOCK) {
        if (this.flow !== "blocked") (counters[COUNTER.slowReaders] as number)++;
        this.flow = "blocked";
        return;
      }
      if (count === CLOSED) {
        this.flow = "closed";
        return;
      }
      this.#sent += count;
      (counters[COUNTER.bytesOut] as number) += count;
    }
    this.#queued = 0;
    this.#sent = 0;
    this.flow = this.ending === undefined ? "idle" : "closed";
  }

  close(): void {
    closeSocket(this.fd);
  }

  save(): SavedConnection {
    const { protocol } = this.#framer;
    // Its state is lost, which an answer's header tells of, and raw bytes cannot.
    const isLost = protocol === "raw" && this.#episode.state.tensors.length > 0;
    return {
      kind: this.kind,
      protocol,
      ending: this.ending ?? (isLost ? STATE_LOST : undefined),
      input: this.#framer.pending,
      output: this.#output.subarray(this.#sent, this.#queued),
    };
  }

  #restore({ ending, input, output }: SavedConnection): void {
    this.#framer.buffer.set(input);
    this.#framer.received(input.length, monotonicUs());
    this.#output.set(output);
    this.#queued = output.length;
    this.ending = ending;
    this.#isDry = false;
  }

  /** Answers requests until there is none left, or the client has to read first. */
  #pump(): void | Promise<void> {
    do {
      const waiting = this.#answerSome();
      if (waiting !== undefined) return waiting;
      this.flush();
      const { times, inference } = this.#service;
      if (times.unsent > 0) times.sent((inference.nowUs = monotonicUs()));
    } while (this.flow === "idle" && !this.#isDry);
  }

  /** Answers as many requests as there is room for. */
  #answerSome(): void | Promise<void> {
    const { request } = this.#framer;
    const { times } = this.#service;
    this.#isDry = false;
    while (
      this.ending === undefined &&
      !times.isFull &&
      this.#output.length - this.#queued >= this.#longest
    ) {
      const taken = this.#framer.next();
      if (taken === "nothing") {
        this.#isDry = true;
        return;
      }
      if (taken === "fault") {
        this.#refuseFraming();
      } else if (request.kind === KIND.hello) {
        this.#answerHello();
      } else {
        const { inference, page } = this.#service;
        (page.counters[COUNTER.requests] as number)++;
        const isReset = (request.flags & FLAG.reset) !== 0;
        const waiting = inference.run(this.#episode, request.rows, isReset);
        if (waiting !== undefined) return waiting.then(() => this.#goOn());
        this.#answer();
      }
    }
  }

  #goOn(): void | Promise<void> {
    this.#answer();
    return this.#pump();
  }

  /** Queues the answer to the request that was just run. */
  #answer(): void {
    const { inference, page, recorder, times } = this.#service;
    const { counters } = page;
    const { request } = this.#framer;
    const { status } = inference;
    if (hasAction(status)) {
      recorder?.add(inference.observations, request.rows);
      if (this.#isLate()) {
        this.#answerReason(STATUS.deadlineMissed, LATE);
        (counters[COUNTER.deadlineMissed] as number)++;
      } else {
        this.#answerAction(status, request.rows);
        (counters[COUNTER.answered] as number)++;
        if (status === STATUS.fallback) (counters[COUNTER.fallback] as number)++;
        if (status === STATUS.degraded) (counters[COUNTER.degraded] as number)++;
      }
    } else {
      const counter = status === STATUS.badInput ? COUNTER.badInput : COUNTER.failed;
      (counters[counter] as number)++;
      // Raw bytes have no way to say it.
      if (this.#framer.protocol === "raw") this.ending = inference.reason;
      else this.#answerReason(status, inference.reason);
    }
    times.answered(this.#framer.wholeUs);
  }

  #isLate(): boolean {
    const { request, startedUs } = this.#framer;
    if (request.deadlineUs === 0) return false;
    // Only ends of a Unix socket share the clock.
    const isTold = request.sentAtUs !== 0 && this.kind === "unix";
    const fromUs = isTold ? request.sentAtUs : startedUs;
    return this.#service.inference.nowUs > fromUs + request.deadlineUs;
  }

  #answerAction(status: number, rows: number): void {
    const { inference, actionSize } = this.#service;
    const count = rows * actionSize;
    if (this.#framer.protocol === "framed") this.#answerHeader(status, rows, count * 4);
    const { actions } = inference;
    const view = this.#view;
    let at = this.#queued;
    for (let i = 0; i < count; i++, at += 4) view.setFloat32(at, actions[i] as number, true);
    this.#queued = at;
  }

  #answerReason(status: number, reason: string): void {
    const from = this.#queued + ANSWER_BYTES;
    const room = this.#output.subarray(from, from + REASON_BYTES_MAX);
    // Cut at a whole character, should it be that long.
    const { written } = words.encodeInto(reason, room);
    this.#answerHeader(status, 0, written);
    this.#queued += written;
  }

  #answerHello(): void {
    const { hello } = this.#service;
    this.#answerHeader(STATUS.ok, 0, hello.length, KIND.helloAnswer);
    this.#output.set(hello, this.#queued);
    this.#queued += hello.length;
  }

  #refuseFraming(): void {
    const reason = this.#framer.fault ?? "";
    const { inference } = this.#service;
    // Nothing of it ran, and how long the last one took is not its business.
    inference.inferenceUs = 0;
    this.#framer.wholeUs = inference.nowUs;
    this.#framer.request.rows = 0;
    this.#answerReason(STATUS.badInput, reason);
    (this.#service.page.counters[COUNTER.protocolErrors] as number)++;
    this.ending = reason;
  }

  #answerHeader(
    status: number,
    rows: number,
    bytes: number,
    kind: number = KIND.inferAnswer,
  ): void {
    const { inference, generation } = this.#service;
    header.kind = kind;
    header.status = status;
    header.id = this.#framer.request.id;
    header.payloadBytes = bytes;
    header.serviceUs = Math.max(0, inference.nowUs - this.#framer.wholeUs);
    header.rows = rows;
    header.inferenceUs = kind === KIND.inferAnswer ? inference.inferenceUs : 0;
    header.generation = generation;
    encodeAnswer(this.#view, this.#queued, header);
    this.#queued += ANSWER_BYTES;
  }
}
