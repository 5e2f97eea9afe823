/**
 * The life of engines: one serves, and another takes its place when it dies, hangs, or is to serve
 * another model. The supervisor owns the listeners and accepts nothing: clients wait in them while
 * there is no engine.
 *
 * Everything that happens rings the bell; `step` then does the one thing that is due. So there is
 * one order of things, however they come together.
 */

import { Lite3Error, operatingError, outcomeOf, quote } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import type { Stop } from "../base/stop.ts";
import { loadingText, SLOW_LOAD_MS } from "../runtime/isolated.ts";
import { FAILING, type OpenCommand, type ReadyEvent } from "../service/control.ts";
import { keepFiles, type KeptFiles } from "../service/kept_files.ts";
import type { EngineTotals } from "../service/totals.ts";
import { Bell } from "./bell.ts";
import {
  finalError,
  isNpuFailure,
  kindOfDeath,
  openingError,
  type Sizes,
  sizesProblem,
} from "./engine_end.ts";
import {
  type EngineNotice,
  EngineProcess,
  openLimitMs,
  RETIRE_LIMIT_MS,
} from "./engine_process.ts";
import { createFallbackPolicy, type FallbackPolicy } from "./fallback_policy.ts";
import { History } from "./history.ts";
import type { Listener } from "./listener.ts";
import { createWatch, pathsOf } from "./model_files.ts";
import { moveClients } from "./move_clients.ts";
import { createRecentObservations } from "./recent_observations.ts";
import { createRestartPolicy } from "./restart_policy.ts";
import type { SupervisorSettings } from "./settings.ts";
import { runSteps } from "./steps.ts";
import { watchEngines } from "./watch_engines.ts";
import { createWatchdog, type Watchdog } from "./watchdog.ts";

/** For what an engine does between two requests. */
const COMMAND_LIMIT_MS = 10_000;
const WATCH_MS = 500;
const SPARE_AGAIN_MS = 5_000;

interface NextEngine {
  readonly engine: EngineProcess;
  /** What it opened. */
  readonly files: KeptFiles;
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
  #looking: Disposable | undefined;
  #stop: Stop | undefined;
  #listeners: readonly Listener[] = [];
  /** The files that serve, as they were at the start or are since a reload. */
  #accepted: KeptFiles;
  #generation = 1;
  #sizes: Sizes | undefined;
  #current: EngineProcess | undefined;
  /** Of another model, or of the NPU again: it takes the place of `current` when it is ready. */
  #next: NextEngine | undefined;
  #spare: EngineProcess | undefined;
  #spareAtMs = 0;
  #restartAtMs = 0;
  #diedMs: number | undefined;
  #wantsReload = false;
  readonly #recent = createRecentObservations();
  #final: Lite3Error | undefined;

  constructor(settings: SupervisorSettings) {
    this.settings = settings;
    // Before they are read: a change meanwhile is one.
    this.#watch = settings.watch ? createWatch(settings.files) : undefined;
    this.#accepted = keepFiles(pathsOf(settings.files));
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
    this.#looking = watchEngines(this.#engines, openLimitMs(this.settings));
    for (;;) {
      const engine = this.#spawn(this.#accepted, 1);
      const isOver = (): boolean => stop.requested || !!engine.ready || !!engine.end;
      await this.#bell.until(isOver, SLOW_LOAD_MS);
      if (!isOver()) this.history.tell("info", "loading", loadingText(openLimitMs(this.settings)));
      await this.#bell.until(isOver);
      if (stop.requested) return undefined;
      if (engine.ready !== undefined && engine.end === undefined) {
        this.#current = engine;
        this.#sizes = engine.ready;
        return engine.ready;
      }
      const failure = openingError(engine);
      this.#forget(engine);
      if (this.#fallback === undefined || !isNpuFailure(engine, failure)) throw failure;
      this.#fallback.failed(performance.now());
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
    await runSteps({
      isOver: () => this.#stop?.requested === true || this.#final !== undefined,
      step: () => this.#step(),
      wait: () => this.#bell.next(this.#dueInMs()),
    });
    await this.#endEngines();
    if (this.#final !== undefined) throw this.#final;
  }

  [Symbol.dispose](): void {
    this.#looking?.[Symbol.dispose]();
    clearInterval(this.#watching);
    for (const engine of this.#engines.keys()) {
      engine.kill(undefined);
      engine[Symbol.dispose]();
    }
    this.#engines.clear();
    this.#next?.files[Symbol.dispose]();
    this.#accepted[Symbol.dispose]();
  }

  /** Does one thing that is due; false when nothing is. */
  #step(): boolean | Promise<boolean> {
    const now = performance.now();
    for (const engine of this.#engines.keys())
      if (engine.end !== undefined) return this.#bury(engine);
    const current = this.#current;
    if (current === undefined) return now >= this.#restartAtMs && this.#fillPlace();
    if (!current.isTold) {
      return !!current.ready && this.#checkSizes(current) && this.#giveListeners(current);
    }
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
  #spawn(kept: KeptFiles, generation: number, probe?: OpenCommand["probe"]): EngineProcess {
    const { files, options, inferTimeoutMs } = this.settings;
    const open: OpenCommand = {
      ...options,
      ...files,
      type: "open",
      kept: kept.names,
      generation,
      isRestart: this.#sizes !== undefined,
      fallbackOnly: this.#fallback?.isActive,
      probe,
    };
    const engine = new EngineProcess(open, kept.fds, this.#bell, (notice) => this.#hear(notice));
    this.#engines.set(engine, createWatchdog(inferTimeoutMs));
    return engine;
  }

  #hear(notice: EngineNotice): void {
    if (notice.name === FAILING) this.#fallback?.failed(performance.now());
    this.history.pass(notice);
  }

  /** Takes note of an engine's end; what follows from it is another step's. */
  #bury(engine: EngineProcess): true {
    if (engine === this.#current) {
      this.#current = undefined;
      this.#noteDeath(engine);
    } else if (engine === this.#next?.engine) {
      this.#release(this.#next.files);
      this.#next = undefined;
      this.#noteRefusal(engine.open.generation, `the new engine ${engine.describeEnd()}`);
    } else if (engine === this.#spare) {
      this.#spare = undefined;
      this.#noteNoSpare(`the spare engine ${engine.describeEnd()}`);
    }
    this.#forget(engine);
    return true;
  }

  #noteNoSpare(why: string): true {
    this.#spareAtMs = performance.now() + SPARE_AGAIN_MS;
    this.history.tell("warn", "spare", why);
    return true;
  }

  #release(files: KeptFiles): void {
    if (files !== this.#accepted) files[Symbol.dispose]();
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
    this.#startAgain(answered > 0, engine.describeEnd());
  }

  /** Decides when the next engine is started, after one that came to such an end. */
  #startAgain(hasAnswered: boolean, how: string): true {
    const now = performance.now();
    const waitMs = this.#restarts.died(now, hasAnswered);
    if (waitMs === undefined) this.#final = finalError(how, this.settings.restartsMax);
    else this.#restartAtMs = now + waitMs;
    return true;
  }

  /** No engine of that generation takes the place of the one that serves. */
  #noteRefusal(generation: number, why: string): true {
    if (generation !== this.#generation) {
      this.history.tell("error", "reload", `the model was not replaced: ${why}`);
    } else {
      this.#fallback?.failed(performance.now());
      this.history.tell("warn", "fallback", `the CPU goes on answering: ${why}`);
    }
    return true;
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
      const started = outcomeOf(() => this.#spawn(this.#accepted, this.#generation));
      if (started instanceof Lite3Error) {
        this.history.tell("warn", "death", started.message);
        return this.#startAgain(false, `was none: ${started.message}`);
      }
      this.#current = started;
    }
    this.history.restarts++;
    return true;
  }

  #giveListeners(engine: EngineProcess): true {
    engine.isTold = true;
    engine.tell(
      { type: "listen", kinds: this.#listeners.map(({ address }) => address.kind) },
      this.#listeners.map(({ fd }) => fd),
    );
    return true;
  }

  /** False for one that serves another kind of policy: it is ended. */
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
    const generation = isReload ? this.#generation + 1 : this.#generation;
    const files = isReload
      ? outcomeOf(() => keepFiles(pathsOf(this.settings.files)))
      : this.#accepted;
    if (files instanceof Lite3Error) return this.#noteRefusal(generation, files.message);
    const probe = isReload ? this.#recent.rows() : undefined;
    const engine = outcomeOf(() => this.#spawn(files, generation, probe));
    if (engine instanceof Lite3Error) {
      this.#release(files);
      return this.#noteRefusal(generation, engine.message);
    }
    this.#next = { engine, files };
    return true;
  }

  /** Moves the clients from one engine to another, which serves from now on. */
  async #takeNext(from: EngineProcess, { engine: to, files }: NextEngine) {
    if (!this.#checkSizes(to)) return false;
    const started = performance.now();
    const limitMs = this.settings.inferTimeoutMs + COMMAND_LIMIT_MS;
    const move = await moveClients(from, to, this.#bell, limitMs).catch(operatingError);
    if (move instanceof Lite3Error) {
      to.reject(move.message);
      return true;
    }
    this.#giveListeners(to);
    this.#next = undefined;
    this.#current = to;
    const before = this.#accepted;
    this.#accepted = files;
    this.#release(before);
    this.#generation = to.open.generation;
    this.history.swaps++;
    from.retire();
    this.#spare?.retire();
    this.#spare = undefined;
    const ms = Math.round(performance.now() - started);
    const left = move.left === 0 ? "" : `, ${move.left} could not be and are closed`;
    const moved = `${plural(move.moved, "connection")} moved in ${ms} ms${left}`;
    const { generation, model } = to.open;
    const what = `generation ${generation} of ${quote(model)} serves`;
    this.history.tell("info", "swap", `${what}, ${moved}`, { generation, model, ms });
    return true;
  }

  #openSpare(): true {
    const started = outcomeOf(() => this.#spawn(this.#accepted, this.#generation));
    if (started instanceof Lite3Error) return this.#noteNoSpare(started.message);
    this.#spare = started;
    return true;
  }

  async #endEngines(): Promise<void> {
    const engines = [...this.#engines.keys()];
    for (const engine of engines) engine.retire();
    await this.#bell.until(() => engines.every(({ end }) => end !== undefined), RETIRE_LIMIT_MS);
    for (const engine of engines) if (this.#engines.has(engine)) this.#forget(engine);
  }
}
