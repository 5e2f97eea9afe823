/**
 * One request through the policy: rows in, actions and a status out, with everything that guards
 * them. All memory is allocated once; where the backend is synchronous nothing is awaited.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { NativeError } from "../../ffi/rknn_library.ts";
import { Lite3Error } from "../base/errors.ts";
import type { PolicyState } from "../runtime/backend.ts";
import { NotFiniteError } from "../runtime/not_finite.ts";
import type { Policy } from "../runtime/policy.ts";
import type { FailureCause, OpenCommand } from "../service/control.ts";
import { COUNTER, type EnginePage, recordUs, WORD, writeLast } from "../service/page.ts";
import { hasAction, ROWS_MAX, STATUS } from "../wire/protocol.ts";
import { DriftWatch, limitAction, watchChange } from "./guards.ts";
import type { ServedModel } from "./open_model.ts";

/** How often the page's last request changes: a person's eye is slower. */
const SHOW_US = 10_000;

/** What one client's requests leave for the next ones. */
export interface Episode {
  readonly state: PolicyState;
  /** The last action, where its change is watched. */
  readonly last: Float32Array | undefined;
}

type Guards = Pick<OpenCommand, "actionLimit" | "ranges" | "failuresMax">;

export class Inference {
  /** The rows of the request, shape [ROWS_MAX, observationSize]: the framers fill it. */
  readonly observations: Float32Array;
  /** Shape [ROWS_MAX, actionSize]: valid up to the rows of the request if its status has one. */
  readonly actions: Float32Array;
  status: number = STATUS.ok;
  /** Why there is no action. */
  reason = "";
  /** µs of CLOCK_MONOTONIC: when the clock was last read. */
  nowUs = 0;
  inferenceUs = 0;
  /** What went wrong so many times in a row that another engine should take its place. */
  failing: FailureCause | undefined;
  readonly #policy: Policy;
  readonly #fallback: Policy | undefined;
  readonly #fallbackState: PolicyState | undefined;
  /** Of a request that goes well. */
  readonly #goodStatus: number;
  readonly #npuTimesUs: Float64Array | undefined;
  readonly #page: EnginePage;
  readonly #onFailure: (reason: string) => void;
  readonly #guards: Guards;
  readonly #drift: DriftWatch | undefined;
  /** Views of each row. */
  readonly #observationRows: readonly Float32Array[];
  readonly #actionRows: readonly Float32Array[];
  /** What every policy answers, and where its answer goes. */
  readonly #usual: Float32Array;
  readonly #unused: Float32Array;
  #episode!: Episode;
  #rows = 0;
  #startedUs = 0;
  /** Inferences in a row that failed by the engine's fault; of those, the last ones whose action was not finite. */
  #failures = 0;
  #nonFinite = 0;
  #shownUs = 0;
  /** The row that the page does not show yet. */
  #unshown = -1;

  /** @param onFailure is told why a row had no action of the policy's, sound as it was */
  constructor(
    model: ServedModel,
    guards: Guards,
    page: EnginePage,
    onFailure: (reason: string) => void,
  ) {
    this.#onFailure = onFailure;
    const { policy, fallback, isFallback } = model;
    const { observationSize, actionSize } = policy;
    this.#policy = policy;
    this.#fallback = fallback;
    this.#fallbackState = fallback?.backend.createState();
    this.#goodStatus = isFallback ? STATUS.fallback : STATUS.ok;
    this.#npuTimesUs = model.npuTimesUs;
    this.#page = page;
    this.#guards = guards;
    this.#drift = guards.ranges === undefined ? undefined : new DriftWatch(guards.ranges, page);
    this.observations = new Float32Array(ROWS_MAX * observationSize);
    this.actions = new Float32Array(ROWS_MAX * actionSize);
    this.#observationRows = rowsOf(this.observations, observationSize);
    this.#actionRows = rowsOf(this.actions, actionSize);
    this.#usual = usualObservation(policy);
    this.#unused = new Float32Array(actionSize);
  }

  createEpisode(): Episode {
    const { actionLimit } = this.#guards;
    return {
      state: this.#policy.backend.createState(),
      last:
        actionLimit === undefined ? undefined : new Float32Array(this.#policy.actionSize).fill(NaN),
    };
  }

  /** Runs the first `rows` of `observations`; the outcome is in `status`, `actions`, `reason`. */
  run(episode: Episode, rows: number, isReset: boolean): void | Promise<void> {
    this.status = this.#goodStatus;
    this.inferenceUs = 0;
    this.#episode = episode;
    this.#rows = rows;
    this.#startedUs = this.nowUs;
    if ((rows > 1 || isReset) && !this.#checkRows()) return;
    if (isReset) reset(episode);
    this.#isBusySince(this.nowUs);
    return this.#runFrom(0);
  }

  /** Counts failures from here on. */
  beginAnew(): void {
    this.failing = undefined;
    this.#failures = 0;
    this.#nonFinite = 0;
  }

  /** Puts the last request into the page, if it was kept back. */
  show(): void {
    if (this.#unshown < 0) return;
    const row = this.#unshown;
    writeLast(
      this.#page,
      this.#observationRows[row] as Float32Array,
      this.#actionRows[row] as Float32Array,
    );
    this.#unshown = -1;
    this.#shownUs = this.nowUs;
  }

  /** Policies look at a row themselves; where more is at stake, it is looked at before any runs. */
  #checkRows(): boolean {
    try {
      for (let row = 0; row < this.#rows; row++) {
        this.#policy.check(this.#observationRows[row] as Float32Array);
      }
      return true;
    } catch (error) {
      this.status = STATUS.badInput;
      this.reason = (error as Error).message;
      return false;
    }
  }

  #runFrom(first: number): void | Promise<void> {
    for (let row = first; row < this.#rows; row++) {
      const observation = this.#observationRows[row] as Float32Array;
      const action = this.#actionRows[row] as Float32Array;
      // The supervisor's limit is for each.
      if (row > 0) this.#isBusySince(monotonicUs());
      try {
        const running = this.#policy.act(observation, action, this.#episode.state);
        if (running !== undefined) return this.#await(running, row);
        this.#count();
      } catch (error) {
        return this.#afterFailure(error, row);
      }
    }
    this.#finish();
  }

  async #await(running: Promise<void>, row: number): Promise<void> {
    try {
      await running;
      this.#count();
    } catch (error) {
      return this.#afterFailure(error, row);
    }
    return this.#runFrom(row + 1);
  }

  #isBusySince(us: number): void {
    this.#page.words[WORD.busySinceUs] = us;
  }

  #count(): void {
    this.#failures = 0;
    this.#nonFinite = 0;
    const timesUs = this.#npuTimesUs;
    if (timesUs === undefined) return;
    const { set, run, get } = this.#page.histograms;
    recordUs(set, timesUs[0] as number);
    recordUs(run, timesUs[1] as number);
    recordUs(get, timesUs[2] as number);
  }

  async #afterFailure(error: unknown, row: number): Promise<void> {
    this.status = STATUS.failed;
    this.reason = error instanceof Error ? error.message : String(error);
    if (error instanceof Lite3Error && error.code === "MALFORMED") {
      this.status = STATUS.badInput;
      return this.#finish();
    }
    const isNonFinite = error instanceof NotFiniteError;
    if (isNonFinite) (this.#page.counters[COUNTER.nonFinite] as number)++;
    if (await this.#isInputsFault(error, row)) {
      this.reason += "; the model answers others, these numbers are beyond it";
    } else {
      this.#countFailure(isNonFinite);
    }
    this.#onFailure(this.reason);
    return this.#fallBack(row) ? this.#runFrom(row + 1) : this.#finish();
  }

  /**
   * Finite numbers can be too large for a model, and one client's must not cost the others their
   * engine: it is well if it fails again for these and answers the usual ones.
   */
  async #isInputsFault(error: unknown, row: number): Promise<boolean> {
    // What the NPU's library refuses to do it refuses whatever the numbers are.
    if (error instanceof NativeError) return false;
    const isRecurrent = this.#episode.state.tensors.length > 0;
    // The state that it failed with is spoilt.
    if (!isRecurrent && (await this.#answers(this.#observationRows[row] as Float32Array))) {
      return false;
    }
    return this.#answers(this.#usual);
  }

  async #answers(observation: Float32Array): Promise<boolean> {
    this.#isBusySince(monotonicUs());
    try {
      await this.#policy.act(observation, this.#unused, this.#policy.backend.createState());
      return true;
    } catch {
      return false;
    }
  }

  /** Answers the row by the fallback, if that can be. */
  #fallBack(row: number): boolean {
    const action = this.#actionRows[row] as Float32Array;
    if (this.#fallback === undefined || this.#fallbackState === undefined) return false;
    try {
      const observation = this.#observationRows[row] as Float32Array;
      // Only the kernel is a fallback, and that is synchronous.
      void this.#fallback.act(observation, action, this.#fallbackState);
      this.status = STATUS.fallback;
      return true;
    } catch (failure) {
      this.reason += `; nor can the fallback: ${(failure as Error).message}`;
      return false;
    }
  }

  #countFailure(isNonFinite: boolean): void {
    this.#failures++;
    this.#nonFinite = isNonFinite ? this.#nonFinite + 1 : 0;
    if (this.#failures < this.#guards.failuresMax) return;
    this.failing = this.#nonFinite === this.#failures ? "nonFinite" : "failed";
  }

  #finish(): void {
    const page = this.#page;
    const endedUs = monotonicUs();
    this.inferenceUs = endedUs - this.#startedUs;
    this.nowUs = endedUs;
    this.#isBusySince(0);
    if (!hasAction(this.status)) return;
    recordUs(page.histograms.inference, this.inferenceUs);
    this.#guard();
    this.#unshown = this.#rows - 1;
    if (endedUs - this.#shownUs >= SHOW_US) this.show();
  }

  #guard(): void {
    const { actionLimit } = this.#guards;
    const { last } = this.#episode;
    if (last === undefined && this.#drift === undefined) return;
    let isDegraded = false;
    for (let row = 0; row < this.#rows; row++) {
      const action = this.#actionRows[row] as Float32Array;
      if (actionLimit !== undefined && last !== undefined) {
        if (limitAction(action, actionLimit, this.#page)) isDegraded = true;
        watchChange(action, last, actionLimit, this.#page);
      }
      const observation = this.#observationRows[row] as Float32Array;
      if (this.#drift?.check(observation) === true) isDegraded = true;
    }
    // That the NPU is down outweighs what else there is to say.
    if (isDegraded && this.status === STATUS.ok) this.status = STATUS.degraded;
  }
}

const rowsOf = (all: Float32Array, size: number): Float32Array[] =>
  Array.from({ length: ROWS_MAX }, (_, row) => all.subarray(row * size, (row + 1) * size));

/** The mean of what the policy saw in training, or zeroes. */
export function usualObservation({ observationSize, normalizer }: Policy): Float32Array {
  const observation = new Float32Array(observationSize);
  if (normalizer !== undefined) observation.set(normalizer.mean);
  return observation;
}

function reset({ state, last }: Episode): void {
  for (const tensor of state.tensors) tensor.fill(0);
  last?.fill(NaN);
}
