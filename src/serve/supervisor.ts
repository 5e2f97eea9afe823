/**
 * The life of engines: one serves, and another takes its place when it dies, hangs, or is to serve
 * another model. The supervisor owns the listeners and accepts nothing: clients wait in them while
 * there is no engine.
 *
 * Everything that happens rings the bell; `step` then does the one thing that is due. So there is
 * one order of things, however they come together.
 */

import { closeSync } from "node:fs";
import { messagePair } from "../../ffi/message_socket.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import type { Stop } from "../base/stop.ts";
import { FAILING, type OpenCommand, type ReadyEvent } from "../service/control.ts";
import type { EngineTotals } from "../service/totals.ts";
import { Bell } from "./bell.ts";
import { kindOfDeath, openingError, type Sizes, sizesProblem } from "./engine_end.ts";
import { type EngineNotice, EngineProcess } from "./engine_process.ts";
import { createFallbackPolicy, type FallbackPolicy } from "./fallback_policy.ts";
import { History } from "./history.ts";
import type { Listener } from "./listener.ts";
import { createWatch, type ModelFiles, resolveFiles } from "./model_files.ts";
import { createRecentObservations } from "./recent_observations.ts";
import { createRestartPolicy } from "./restart_policy.ts";
import type { SupervisorSettings } from "./settings.ts";
import { createWatchdog, LOOK_MS, type Watchdog } from "./watchdog.ts";

/** How long clients may take to read their last answers once an engine stops. */
const DRAIN_MS = 500;
/** What an engine may take beyond that until it has ended. */
const END_MS = 1_500;
/** For starting a process and loading a model; under emulation the process alone takes seconds. */
const OPEN_LIMIT_MS = 60_000;
/** For what an engine does between two requests. */
const COMMAND_LIMIT_MS = 10_000;
const WATCH_MS = 500;
const SPARE_AGAIN_MS = 5_000;

interface NextEngine {
  readonly engine: EngineProcess;
  readonly files: ModelFiles;
}

export class Supervisor implements Disposable {
  readonly history = new History();
  readonly settings: SupervisorSettings;
  readonly #bell = new Bell();
  readonly #restarts;
  readonly #watch;
  readonly #fallback: FallbackPolicy | undefined;
  readonly #engines = new Map<EngineProcess, Watchdog>();
  #watching: Timer | undefined;
  #looking: Timer | undefined;
  #stop: Stop | undefined;
  #listeners: readonly Listener[] = [];
  /** The files that serve: what a reload has accepted. */
  #accepted: ModelFiles;
  #generation = 1;
  #sizes: Sizes | undefined;
  #current: EngineProcess | undefined;
  /** Of another model, or of the NPU again: it takes the place of `current` when it is ready. */
  #next: NextEngine | undefined;
  #spare: EngineProcess | undefined;
  #spareAtMs = 0;
  #restartAtMs = 0;
  #diedMs: number | undefined;
  readonly #saidOfModel = new Set<string>();
  #wantsReload = false;
  readonly #recent = createRecentObservations();
  #final: Lite3Error | undefined;

  constructor(settings: SupervisorSettings) {
    this.settings = settings;
    this.#accepted = resolveFiles(settings.files);
    // Before the first engine opens them: a change meanwhile is one.
    this.#watch = settings.watch ? createWatch(settings.files) : undefined;
    this.#restarts = createRestartPolicy(settings.restartsMax);
    if (settings.files.fallback !== undefined) this.#fallback = createFallbackPolicy();
  }

  get current(): EngineProcess | undefined {
    return this.#current;
  }

  /** Of engines that could answer: what one counts while it warms up is nobody's. */
  totals(): EngineTotals {
    const living = [...this.#engines.keys()].filter(({ ready }) => ready !== undefined);
    return this.history.totals(living.map((engine) => engine.snapshot()));
  }

  /** Opens the model for the first time; undefined when the wish to stop comes before. */
  async open(stop: Stop): Promise<ReadyEvent | undefined> {
    this.#stop = stop;
    stop.signal.addEventListener("abort", () => this.#bell.ring());
    this.#look();
    for (;;) {
      // By the names that were given, so that an error has them.
      const engine = this.#spawn(this.settings.files, 1);
      await this.#bell.until(() => stop.requested || !!engine.ready || !!engine.end);
      if (stop.requested) return undefined;
      if (engine.ready !== undefined && engine.end === undefined) {
        this.#current = engine;
        this.#sizes = engine.ready;
        return engine.ready;
      }
      const failure = openingError(engine);
      this.#forget(engine);
      if (!this.#mayFallBack(engine, failure)) throw failure;
      this.#fallback?.failed(performance.now());
      this.history.tell("warn", "fallback", `${failure.message}; the CPU answers in its place`);
    }
  }

  /** Lets the opened engine accept clients. */
  async listen(listeners: readonly Listener[]): Promise<void> {
    this.#listeners = listeners;
    const first = this.#current;
    if (first !== undefined) this.#giveListeners(first);
    await this.#bell.until(
      () => this.#stop?.requested === true || !!first?.isListening || !!first?.end,
    );
  }

  /** Opens the model anew, beside the engine that serves. */
  reload(): void {
    this.#wantsReload = true;
    this.#bell.ring();
  }

  /** Serves until the wish to stop. Throws NATIVE when no engine stays alive. */
  async serve(): Promise<void> {
    this.#watching = setInterval(() => {
      if (this.#watch?.hasChanged() === true) this.reload();
      const { counters, observation } = this.#current?.snapshot() ?? {};
      if (observation !== undefined && counters?.answered) this.#recent.add(observation);
    }, WATCH_MS);
    while (this.#stop?.requested !== true && this.#final === undefined) {
      if (!(await this.#step())) await this.#bell.next(this.#dueInMs());
    }
    await this.#endEngines();
    if (this.#final !== undefined) throw this.#final;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#looking);
    clearInterval(this.#watching);
    for (const engine of this.#engines.keys()) {
      engine.kill(undefined);
      engine[Symbol.dispose]();
    }
    this.#engines.clear();
  }

  /** Does one thing that is due; false when nothing is. */
  async #step(): Promise<boolean> {
    const now = performance.now();
    for (const engine of this.#engines.keys())
      if (engine.end !== undefined) return this.#bury(engine);
    const current = this.#current;
    if (current === undefined) return now >= this.#restartAtMs && this.#fillPlace();
    if (!current.isTold) return current.ready !== undefined && this.#admit(current);
    if (!current.isListening) return false;
    if (this.#diedMs !== undefined) return this.#tellRecovery(this.#diedMs);
    if (this.#next?.engine.ready !== undefined) return this.#takeNext(current, this.#next);
    if (this.#next !== undefined) return false;
    if (this.#wantsReload) return this.#openNext(true);
    if (now >= (this.#fallback?.returnAtMs ?? Infinity)) return this.#openNext(false);
    const lacksSpare = this.settings.spare && this.#spare === undefined;
    return lacksSpare && now >= this.#spareAtMs && this.#openSpare();
  }

  /** When the next thing is due that nothing rings for. */
  #dueInMs(): number {
    const isServing = this.#current?.isListening === true;
    const due = [
      this.#current === undefined ? this.#restartAtMs : Infinity,
      isServing && this.#next === undefined ? (this.#fallback?.returnAtMs ?? Infinity) : Infinity,
      isServing && this.settings.spare && !this.#spare ? this.#spareAtMs : Infinity,
    ];
    return Math.max(1, Math.min(...due) - performance.now());
  }

  /** @param probe for a model that has not served yet; one that has is not held up by it */
  #spawn(files: ModelFiles, generation: number, probe?: OpenCommand["probe"]): EngineProcess {
    const { options, inferTimeoutMs } = this.settings;
    const open: OpenCommand = {
      ...options,
      ...files,
      type: "open",
      generation,
      isRestart: this.#sizes !== undefined,
      fallbackOnly: this.#fallback?.isActive,
      probe,
    };
    const engine = new EngineProcess(open, this.#bell, (notice) => this.#pass(notice));
    this.#engines.set(engine, createWatchdog(inferTimeoutMs));
    return engine;
  }

  /** What an engine says goes on; what each says of the same model, once. */
  #pass({ event, name, message, count = 1 }: EngineNotice): void {
    if (name === "model") {
      if (this.#saidOfModel.has(message)) return;
      this.#saidOfModel.add(message);
    }
    if (name === FAILING) this.#fallback?.failed(performance.now());
    const text = count > 1 ? `${message} (${count} times)` : message;
    this.history.tell(event, name, text, { count });
  }

  /** Ends engines that hang, now and from now on. */
  #look(): void {
    const { options, inferTimeoutMs } = this.settings;
    const openLimitMs = OPEN_LIMIT_MS + options.warmup * inferTimeoutMs;
    let nextMs = LOOK_MS;
    for (const [engine, watchdog] of this.#engines) {
      const isLate = performance.now() - engine.startedMs > openLimitMs;
      const leftMs = engine.isListening ? watchdog.look(engine.word) : LOOK_MS;
      if (leftMs === 0 || (!engine.ready && isLate)) engine.kill("hang");
      else nextMs = Math.min(nextMs, leftMs);
    }
    this.#looking = setTimeout(() => this.#look(), nextMs);
  }

  /** Takes note of an engine's end; what follows from it is another step's. */
  #bury(engine: EngineProcess): true {
    if (engine === this.#current) {
      this.#current = undefined;
      this.#noteDeath(engine);
    } else if (engine === this.#next?.engine) {
      this.#next = undefined;
      this.#noteRefusal(engine);
    } else if (engine === this.#spare) {
      this.#spare = undefined;
      this.#spareAtMs = performance.now() + SPARE_AGAIN_MS;
      this.history.tell("warn", "spare", `the spare engine ${engine.describeEnd()}`);
    }
    this.#forget(engine);
    return true;
  }

  #forget(engine: EngineProcess): void {
    if (engine.ready !== undefined) this.history.keep(engine.snapshot());
    this.#engines.delete(engine);
    engine[Symbol.dispose]();
  }

  #noteDeath(engine: EngineProcess): void {
    const now = performance.now();
    const { answered } = engine.snapshot().counters;
    const kind = kindOfDeath(engine);
    this.history.deaths[kind]++;
    const how = `engine ${engine.pid} ${engine.describeEnd()}`;
    this.history.tell("warn", "death", how, { kind, pid: engine.pid, answered });
    if (!engine.isFallback) this.#fallback?.died(now);
    this.#diedMs ??= now;
    const waitMs = this.#restarts.died(now, answered > 0);
    if (waitMs !== undefined) {
      this.#restartAtMs = now + waitMs;
      return;
    }
    this.#final = new Lite3Error(
      "NATIVE",
      `Cannot go on serving: ${plural(this.settings.restartsMax, "engine")} died within a minute ` +
        `without an answer in between, the last one ${engine.describeEnd()}; ` +
        "lite3rl doctor checks library and driver, --restarts-max allows more",
    );
  }

  #noteRefusal(engine: EngineProcess): void {
    const why = engine.describeEnd();
    if (engine.open.generation !== this.#generation) {
      this.history.tell("error", "reload", `the model was not replaced: the new engine ${why}`);
      return;
    }
    this.#fallback?.failed(performance.now());
    this.history.tell("warn", "fallback", `the CPU goes on answering: the NPU's engine ${why}`);
  }

  /** Finds an engine for the place of a dead one. */
  #fillPlace(): true {
    const spare = this.#spare;
    const isFallback = this.#fallback?.isActive === true;
    // One that is not ready yet is still sooner than another.
    if (spare?.isFallback === isFallback) {
      this.#current = spare;
      this.#spare = undefined;
    } else {
      this.#current = this.#spawn(this.#accepted, this.#generation);
    }
    this.history.restarts++;
    return true;
  }

  /** Gives the listeners to an engine that is ready, unless it serves another kind of policy. */
  #admit(engine: EngineProcess): true {
    if (this.#checkSizes(engine)) this.#giveListeners(engine);
    return true;
  }

  #giveListeners(engine: EngineProcess): void {
    engine.isTold = true;
    engine.tell(
      { type: "listen", kinds: this.#listeners.map(({ address }) => address.kind) },
      this.#listeners.map(({ fd }) => fd),
    );
  }

  #checkSizes(engine: EngineProcess): boolean {
    const problem = this.#sizes === undefined ? undefined : sizesProblem(engine, this.#sizes);
    if (problem !== undefined && engine.rejection === undefined) engine.reject(problem);
    return problem === undefined;
  }

  #tellRecovery(diedMs: number): true {
    const ms = Math.round(performance.now() - diedMs);
    this.#diedMs = undefined;
    const pid = this.#current?.pid;
    this.history.tell("info", "recovery", `engine ${pid} answers since ${ms} ms later`, {
      ms,
      pid,
    });
    return true;
  }

  /** @param isReload another generation; otherwise the same one on the NPU again */
  #openNext(isReload: boolean): true {
    if (isReload) this.#wantsReload = false;
    else this.#fallback?.returned();
    const files = isReload ? this.settings.files : this.#accepted;
    const resolved = resolveFiles(files);
    const generation = isReload ? this.#generation + 1 : this.#generation;
    const probe = isReload ? this.#recent.rows() : undefined;
    this.#next = { engine: this.#spawn(files, generation, probe), files: resolved };
    return true;
  }

  /** Moves the clients from one engine to another, which serves from now on. */
  async #takeNext(from: EngineProcess, { engine: to, files }: NextEngine) {
    if (!this.#checkSizes(to)) return to.end !== undefined;
    const started = performance.now();
    const [give, take] = messagePair();
    to.tell({ type: "take-over" }, [take]);
    from.tell({ type: "hand-over" }, [give]);
    closeSync(give);
    closeSync(take);
    this.#giveListeners(to);
    this.#next = undefined;
    this.#current = to;
    this.#accepted = files;
    this.#generation = to.open.generation;
    this.history.swaps++;
    const isOver = (): boolean => from.handed !== undefined || !!from.end || !!to.end;
    const limitMs = this.settings.inferTimeoutMs + COMMAND_LIMIT_MS;
    await this.#bell.until(isOver, limitMs);
    this.#retire(from);
    if (this.#spare !== undefined) this.#retire(this.#spare);
    this.#spare = undefined;
    const ms = Math.round(performance.now() - started);
    const moved = `${plural(from.handed ?? 0, "connection")} moved in ${ms} ms`;
    const { generation, model } = to.open;
    const what = `generation ${generation} of ${quote(model)} serves`;
    this.history.tell("info", "swap", `${what}, ${moved}`, { generation, model, ms });
    return true;
  }

  /** Lets an engine send its last answers; one that does not end is ended. */
  #retire(engine: EngineProcess): void {
    if (!engine.isListening) engine.kill(undefined);
    else engine.tell({ type: "stop", drainMs: DRAIN_MS });
    setTimeout(() => engine.kill(undefined), DRAIN_MS + END_MS).unref();
  }

  #openSpare(): true {
    this.#spare = this.#spawn(this.#accepted, this.#generation);
    return true;
  }

  async #endEngines(): Promise<void> {
    const engines = [...this.#engines.keys()];
    for (const engine of engines) this.#retire(engine);
    await this.#bell.until(
      () => engines.every(({ end }) => end !== undefined),
      DRAIN_MS + 2 * END_MS,
    );
    for (const engine of engines) if (this.#engines.has(engine)) this.#forget(engine);
  }

  #mayFallBack({ isFallback }: EngineProcess, { code }: Lite3Error): boolean {
    return (
      this.#fallback !== undefined && !isFallback && (code === "NATIVE" || code === "DEADLINE")
    );
  }
}
