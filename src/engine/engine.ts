/**
 * The data path: one blocking loop of `epoll_wait → recv → infer → send`, with the supervisor's
 * commands in the same set. It never returns to Bun's event loop for a synchronous backend, so no
 * timer and no signal handler runs in this process.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { EPOLL, Epoll } from "../../ffi/epoll.ts";
import { MessageSocket, noDescriptors } from "../../ffi/message_socket.ts";
import { assert, present } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import {
  type Command,
  decodeCommand,
  FAILING,
  type FailureCause,
  type OpenCommand,
  type ReadyEvent,
  REQUEST_FAILED,
} from "../service/control.ts";
import { receiveFiles } from "../service/kept_files.ts";
import { type EnginePage, type EngineState, STATES, WORD } from "../service/page.ts";
import { Clients } from "./clients.ts";
import type { Service } from "./connection.ts";
import type { Events } from "./events.ts";
import { sendConnection, Takeover } from "./hand_over.ts";
import { Inference } from "./inference.ts";
import { openServedModel, type ServedModel } from "./open_model.ts";
import { checkRecording, Recorder } from "./recorder.ts";
import { useRealtime } from "./realtime.ts";
import { ServiceTimes } from "./service_times.ts";
import { warmUp } from "./warm_up.ts";

/** Longest wait for an event: the supervisor sees the heart beat at least as often. */
const TURN_MS = 100;
const EVENTS = 64;

/** What there is once a model is open. */
interface Serving {
  readonly model: ServedModel;
  readonly inference: Inference;
  readonly service: Service;
  readonly clients: Clients;
  readonly recorder: Recorder | undefined;
}

/** Serves until the supervisor says stop or is gone. Throws what ends an engine by itself. */
export async function runEngine(
  control: MessageSocket,
  page: EnginePage,
  events: Events,
): Promise<void> {
  using engine = new Engine(control, page, events);
  await engine.run();
}

/** Too many requests in a row came to nothing: a new engine may do better. */
export class ExhaustedError extends Lite3Error {
  readonly failing: FailureCause;

  constructor(failing: FailureCause, what: string) {
    super("NATIVE", `Cannot go on: ${what}`);
    this.failing = failing;
  }
}

class Engine implements Disposable {
  readonly #control: MessageSocket;
  readonly #page: EnginePage;
  readonly #events: Events;
  readonly #epoll = new Epoll(EVENTS);
  #serving: Serving | undefined;
  #takeover: Takeover | undefined;
  #isStopping = false;
  #drainMs = 0;
  #beat = 0;
  /** Events of this turn: how many there are, and the next to be handled. */
  #count = 0;
  #next = 0;

  constructor(control: MessageSocket, page: EnginePage, events: Events) {
    this.#control = control;
    this.#page = page;
    this.#events = events;
    this.#epoll.add(control.fd, EPOLL.IN);
  }

  async run(): Promise<void> {
    while (!this.#isStopping) {
      let waiting = this.#turn(TURN_MS);
      // Whoever is awaited has the rest of the turn wait as well: one request at a time.
      while (waiting !== undefined) {
        await waiting;
        waiting = this.#handleRest();
      }
      const failing = this.#serving?.inference.failing;
      if (failing !== undefined) this.#giveUp(failing);
    }
    this.#drain();
  }

  [Symbol.dispose](): void {
    if (this.#serving !== undefined) {
      for (const connection of this.#serving.clients.all()) connection.close();
      this.#serving.clients.stopListening();
      this.#serving.model[Symbol.dispose]();
    }
    this.#takeover?.[Symbol.dispose]();
    this.#epoll[Symbol.dispose]();
  }

  /** Waits for events and handles them, as far as nothing has to be awaited. */
  #turn(timeoutMs: number): void | Promise<void> {
    this.#count = this.#epoll.wait(timeoutMs);
    this.#next = 0;
    this.#page.words[WORD.beat] = ++this.#beat;
    if (this.#count === 0) this.#rest();
    this.#serving?.clients.collect(this.#count === 0);
    return this.#handleRest();
  }

  #handleRest(): void | Promise<void> {
    while (this.#next < this.#count) {
      const index = this.#next++;
      const fd = this.#epoll.fdAt(index);
      const waiting =
        fd === this.#control.fd
          ? this.#readCommands()
          : fd === this.#takeover?.fd
            ? this.#readTakeover(this.#takeover)
            : this.#serving?.clients.handle(fd, this.#epoll.eventsAt(index));
      if (waiting !== undefined) return waiting;
    }
    this.#serving?.clients.admit(EVENTS, this.#count < EVENTS);
  }

  /** What there is time for when nobody asks. */
  #rest(): void {
    const nowUs = monotonicUs();
    this.#events.flush(nowUs);
    this.#serving?.inference.show();
    this.#serving?.recorder?.flush();
    this.#serving?.clients.rest(nowUs);
  }

  #readCommands(): void | Promise<void> {
    for (;;) {
      const message = this.#control.receive();
      if (message === undefined || this.#isStopping) return;
      // The supervisor is gone: nobody drains for nobody.
      if (message === null) {
        this.#isStopping = true;
        return;
      }
      const command = decodeCommand(message.bytes);
      // Who may open no more files goes on with those that it has.
      if (message.isCut && command.type !== "hand-over") throw noDescriptors();
      const waiting = this.#obey(command, [...message.fds]);
      if (waiting !== undefined) return waiting.then(() => this.#readCommands());
    }
  }

  #obey(command: Command, fds: readonly number[]): void | Promise<void> {
    switch (command.type) {
      case "open":
        return this.#open(command, fds);
      case "listen": {
        const { clients } = present(this.#serving, "an open model");
        clients.listen(command.kinds.map((kind, i) => ({ kind, fd: present(fds[i]) })));
        this.#setState("serving");
        return this.#events.say({ event: "listening" });
      }
      case "take-over":
        this.#takeover = new Takeover(new MessageSocket(present(fds[0])));
        return this.#epoll.add(this.#takeover.fd, EPOLL.IN);
      case "hand-over":
        return this.#handOver(fds[0]);
      case "stop":
        this.#isStopping = true;
        this.#drainMs = command.drainMs;
    }
  }

  async #open(command: OpenCommand, fds: readonly number[]): Promise<void> {
    assert(this.#serving === undefined, "one model per engine");
    const page = this.#page;
    using files = receiveFiles(command.kept, fds);
    const model = await openServedModel(command, files);
    const { observationSize, actionSize } = model.policy;
    page.words[WORD.generation] = command.generation;
    page.words[WORD.observationSize] = observationSize;
    page.words[WORD.actionSize] = actionSize;
    page.words[WORD.hasNpuTimes] = model.npuTimesUs === undefined ? 0 : 1;
    const recorder = this.#createRecorder(command, observationSize);
    const inference = new Inference(model, command, page, (reason) => {
      this.#events.report("warn", REQUEST_FAILED, `a request failed: ${reason}`, monotonicUs());
    });
    const { generation } = command;
    const { hello } = model;
    const service: Service = {
      inference,
      page,
      times: new ServiceTimes(page.histograms.service),
      generation,
      actionSize,
      hello,
      recorder: undefined,
    };
    const clients = new Clients(this.#epoll, service, command, this.#events);
    this.#serving = { model, inference, service, clients, recorder };
    const warmup = await this.#warmUp(model, clients, command);
    service.recorder = recorder;
    useRealtime(command);
    this.#setState("ready");
    this.#events.say(describeReady(model, warmup));
  }

  #createRecorder({ record, isRestart }: OpenCommand, size: number): Recorder | undefined {
    if (record === undefined) return undefined;
    const options = { ...record, size };
    const recorder = new Recorder(options, this.#page, (message) => {
      this.#events.say({ event: "warn", name: "record", message });
    });
    try {
      const rows = checkRecording(options);
      if (rows > options.rows && isRestart !== true) {
        const message =
          `${quote(options.path)} has ${rows} observations, more than --record-rows ` +
          `${options.rows}: so many are replaced in turn, the others stay as they are`;
        this.#events.say({ event: "warn", name: "record", message });
      }
    } catch (error) {
      if (isRestart !== true || !(error instanceof Lite3Error)) throw error;
      this.#events.say({ event: "warn", name: "record", message: error.message });
      recorder.giveUp();
    }
    return recorder;
  }

  async #warmUp(
    model: ServedModel,
    clients: Clients,
    command: OpenCommand,
  ): Promise<ReadyEvent["warmup"]> {
    const page = this.#page;
    const turn = async (): Promise<void> => {
      let waiting = this.#turn(0);
      while (waiting !== undefined) {
        await waiting;
        waiting = this.#handleRest();
      }
    };
    const adopt = (fd: number): void => void clients.adopt(fd, "unix");
    const warmed = await warmUp(model.policy, command, { adopt, turn });
    // Now they leave whom it had as clients.
    await turn();
    page.counters.fill(0);
    page.outside.fill(0);
    for (const histogram of Object.values(page.histograms)) histogram.fill(0);
    // What opening a model left behind goes now, not while a client waits.
    Bun.gc(true);
    return warmed;
  }

  #readTakeover(takeover: Takeover): void | Promise<void> {
    const { clients } = present(this.#serving, "an open model");
    for (;;) {
      const taken = takeover.receive();
      if (taken === undefined) break;
      const waiting = clients.takeOver(taken.fd, taken.saved);
      if (waiting !== undefined) return waiting.then(() => this.#readTakeover(takeover));
    }
    if (!takeover.isOver) return;
    this.#epoll.remove(takeover.fd);
    takeover[Symbol.dispose]();
    this.#takeover = undefined;
  }

  /** Gives every connection to the next engine; keeps those that it does not take. */
  #handOver(fd: number | undefined): void {
    const { clients, recorder } = present(this.#serving, "an open model");
    if (fd === undefined) {
      this.#events.say({ event: "handed", connections: 0, left: clients.open });
      return;
    }
    // The next engine goes on with the file.
    recorder?.close();
    using to = new MessageSocket(fd);
    clients.stopAccepting();
    let handed = 0;
    let isTaken = true;
    for (const connection of clients.all()) {
      isTaken = sendConnection(to, connection.fd, connection.save());
      if (!isTaken) break;
      clients.drop(connection);
      handed++;
    }
    if (isTaken) clients.stopListening();
    else clients.startAccepting();
    this.#events.say({ event: "handed", connections: handed, left: clients.open });
  }

  /** Stops accepting and reading; sends queued answers for a while, then closes. */
  #drain(): void {
    this.#setState("draining");
    this.#serving?.recorder?.close();
    this.#events.flush();
    const clients = this.#serving?.clients;
    if (clients === undefined) return;
    clients.stopListening();
    const deadlineUs = monotonicUs() + this.#drainMs * 1000;
    for (;;) {
      for (const connection of clients.all()) {
        connection.flush();
        if (connection.flow !== "blocked") clients.drop(connection);
      }
      if (clients.open === 0 || monotonicUs() >= deadlineUs) return;
      this.#epoll.wait(1);
      this.#page.words[WORD.beat] = ++this.#beat;
    }
  }

  /** Ends this engine; where a fallback answers, it only asks for another one. */
  #giveUp(failing: FailureCause): void {
    const { inference, model } = present(this.#serving, "an open model");
    const how =
      failing === "nonFinite" ? "actions in a row were not finite" : "inferences in a row failed";
    const what = `too many ${how}, the last: ${inference.reason}`;
    if (model.fallback === undefined) throw new ExhaustedError(failing, what);
    this.#events.report("warn", FAILING, `${what}; the CPU answers in its place`, monotonicUs());
    inference.beginAnew();
  }

  #setState(state: EngineState): void {
    this.#page.words[WORD.state] = STATES.indexOf(state);
  }
}

function describeReady(model: ServedModel, warmup: ReadyEvent["warmup"]): ReadyEvent {
  const { policy, about, normalizer, isRecurrent } = model;
  return {
    event: "ready",
    observationSize: policy.observationSize,
    actionSize: policy.actionSize,
    backend: about.backend,
    evidence: about.evidence,
    normalizer,
    sha256: about.model.sha256,
    recurrent: isRecurrent,
    warmup,
    hello: about,
    ms: performance.now(),
  };
}
