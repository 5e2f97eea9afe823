/**
 * The page of memory that an engine writes and its supervisor reads: state, counters, histograms
 * and the last request. Counting costs the data path a store; reading costs it nothing.
 *
 * One writer per word, and no word is torn: a reader may see a request half counted, never a wrong
 * number. The last observation and action belong together, so a sequence number guards them.
 */

import { closeSync } from "node:fs";
import { createSharedMemory, mapSharedMemory } from "../../ffi/shared_memory.ts";

export const PAGE_BYTES = 256 << 10;
/** Observation and action terms that the page shows; wider policies show their first ones. */
export const PAGE_TERMS = 8192;

/** What an engine counts, since its start. */
export const COUNTERS = [
  "connections",
  /** Turned away, over --max-clients. */
  "connectionsRefused",
  /** Closed at once, of a user or group that is not allowed. */
  "credentialsRefused",
  "requests",
  /** With an action, of whatever status. */
  "answered",
  /** Of those answered: by the CPU fallback. */
  "fallback",
  /** Of those answered: by a limited action, or for an observation far out of the usual. */
  "degraded",
  "badInput",
  "deadlineMissed",
  /** Of those turned away: told so, since they speak the framed protocol. */
  "busy",
  "failed",
  /** Inferences whose action was not finite. */
  "nonFinite",
  /** Actions that --action-limit cut. */
  "limited",
  /** Actions that changed by more than the limit from one request to the next. */
  "fastActions",
  /** Clients that left in the middle of a request. */
  "partialFrames",
  /** Times that a client had to be waited for to read its answers. */
  "slowReaders",
  "protocolErrors",
  /** Observations in the recording. */
  "recorded",
  "recordErrors",
  "bytesIn",
  "bytesOut",
] as const;
export type CounterName = (typeof COUNTERS)[number];

/** Place of each counter in `EnginePage.counters`. */
export const COUNTER = Object.fromEntries(COUNTERS.map((name, at) => [name, at])) as Readonly<
  Record<CounterName, number>
>;

export const STATES = ["opening", "ready", "serving", "draining"] as const;
export type EngineState = (typeof STATES)[number];

/** Place of each in `EnginePage.words`. */
export const WORD = {
  state: 0,
  beat: 1,
  busySinceUs: 2,
  openConnections: 3,
  generation: 4,
  observationSize: 5,
  actionSize: 6,
  /** 1 where the NPU's own times are told. */
  hasNpuTimes: 7,
} as const;

const PER_DECADE = 12;
const DECADES = 7;
/** Upper bounds of the histograms' buckets in µs: 1 µs … 10 s, then +Inf. */
export const BOUNDS_US: Float64Array = Float64Array.from(
  { length: PER_DECADE * DECADES + 2 },
  (_, i) => (i > PER_DECADE * DECADES ? Infinity : 10 ** (i / PER_DECADE)),
);
const BUCKETS = BOUNDS_US.length;

const HISTOGRAMS = ["service", "inference", "set", "run", "get"] as const;
type HistogramName = (typeof HISTOGRAMS)[number];

/** One histogram in the page: its buckets, then the sum in µs, then how many. */
export type PageHistogram = Float64Array;

export interface EnginePage extends Disposable {
  /** By WORD. */
  readonly words: Float64Array;
  /** By COUNTER. */
  readonly counters: Float64Array;
  readonly histograms: Readonly<Record<HistogramName, PageHistogram>>;
  /** Odd while the last request is being written. */
  readonly sequence: Int32Array;
  /** Of PAGE_TERMS. */
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly outside: Float64Array;
}

// Offsets in bytes. The vectors come last: 16 + 16 + 32 = 64 terms of 8 KiB = 128 KiB.
const AT = {
  words: 0,
  sequence: 128,
  counters: 256,
  histograms: 1024,
  observation: 16 << 10,
  action: (16 << 10) + PAGE_TERMS * 4,
  outside: (16 << 10) + PAGE_TERMS * 8,
} as const;
const HISTOGRAM_BYTES = 1024;

/** A new page and its file descriptor, for the engine that is started with it. */
export function createPage(): { readonly page: EnginePage; readonly fd: number } {
  const fd = createSharedMemory("lite3rl-engine", PAGE_BYTES);
  try {
    return { page: openPage(fd), fd };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Maps a page; `fd` may be closed afterwards. */
export function openPage(fd: number): EnginePage {
  const memory = mapSharedMemory(fd, PAGE_BYTES);
  const { buffer } = memory;
  const histogram = (at: number): PageHistogram =>
    new Float64Array(buffer, AT.histograms + at * HISTOGRAM_BYTES, BUCKETS + 2);
  return {
    words: new Float64Array(buffer, AT.words, Object.keys(WORD).length),
    counters: new Float64Array(buffer, AT.counters, COUNTERS.length),
    histograms: Object.fromEntries(
      HISTOGRAMS.map((name, at) => [name, histogram(at)]),
    ) as unknown as EnginePage["histograms"],
    sequence: new Int32Array(buffer, AT.sequence, 1),
    observation: new Float32Array(buffer, AT.observation, PAGE_TERMS),
    action: new Float32Array(buffer, AT.action, PAGE_TERMS),
    outside: new Float64Array(buffer, AT.outside, PAGE_TERMS),
    [Symbol.dispose]: () => memory[Symbol.dispose](),
  };
}

/** Counts one duration. */
export function recordUs(histogram: PageHistogram, us: number): void {
  const bucket = us <= 1 ? 0 : Math.min(BUCKETS - 1, Math.ceil(Math.log10(us) * PER_DECADE));
  (histogram[bucket] as number)++;
  (histogram[BUCKETS] as number) += us;
  (histogram[BUCKETS + 1] as number)++;
}

/** Puts the last request into the page, so that a reader sees both of it or neither. */
export function writeLast(page: EnginePage, observation: Float32Array, action: Float32Array): void {
  // Read-modify-write operations, since they let no store pass in either direction.
  Atomics.add(page.sequence, 0, 1);
  const observations = Math.min(observation.length, PAGE_TERMS);
  for (let i = 0; i < observations; i++) page.observation[i] = observation[i] as number;
  const actions = Math.min(action.length, PAGE_TERMS);
  for (let i = 0; i < actions; i++) page.action[i] = action[i] as number;
  Atomics.add(page.sequence, 0, 1);
}

export interface HistogramView {
  /** Upper bounds in µs, log-spaced, 12 a decade from 1 µs to 10 s; the last is +Inf. */
  readonly bounds: Float64Array;
  readonly counts: Float64Array;
  readonly sumUs: number;
  readonly count: number;
}

/** What an engine's page said at one moment; copies, which stay. */
export interface EngineSnapshot {
  readonly state: EngineState;
  readonly beat: number;
  /** `monotonicUs()` of the start of the inference that runs; 0 when none does. */
  readonly busySinceUs: number;
  readonly openConnections: number;
  readonly generation: number;
  readonly counters: Readonly<Record<CounterName, number>>;
  readonly service: HistogramView;
  readonly inference: HistogramView;
  /** The NPU's own times; absent for other backends. */
  readonly set?: HistogramView;
  readonly run?: HistogramView;
  readonly get?: HistogramView;
  /** Of the last request; shape [observationSize], at most PAGE_TERMS. */
  readonly observation: Float32Array;
  readonly action: Float32Array;
  /** Per observation term: values outside the calibration range; empty where none is known. */
  readonly outside: Float64Array;
}

export function readPage(page: EnginePage): EngineSnapshot {
  const word = (name: keyof typeof WORD): number => page.words[WORD[name]] as number;
  const view = (name: HistogramName): HistogramView => viewHistogram(page.histograms[name]);
  const hasNpuTimes = word("hasNpuTimes") === 1;
  return {
    state: STATES[word("state")] as EngineState,
    beat: word("beat"),
    busySinceUs: word("busySinceUs"),
    openConnections: word("openConnections"),
    generation: word("generation"),
    counters: Object.fromEntries(
      COUNTERS.map((name, at) => [name, page.counters[at]]),
    ) as EngineSnapshot["counters"],
    service: view("service"),
    inference: view("inference"),
    ...(hasNpuTimes ? { set: view("set"), run: view("run"), get: view("get") } : {}),
    ...readLast(page, word("observationSize"), word("actionSize")),
    outside: page.outside.slice(0, word("observationSize")),
  };
}

/** Copies of the last request; tries again while the engine writes them. */
function readLast(
  page: EnginePage,
  observationSize: number,
  actionSize: number,
): Pick<EngineSnapshot, "observation" | "action"> {
  // An engine that was killed amid a write leaves the number odd: then half is all there is.
  for (let tries = 0; ; tries++) {
    const before = Atomics.load(page.sequence, 0);
    const observation = page.observation.slice(0, observationSize);
    const action = page.action.slice(0, actionSize);
    const isWhole = before % 2 === 0 && Atomics.load(page.sequence, 0) === before;
    if (isWhole || tries === 100) return { observation, action };
  }
}

function viewHistogram(histogram: PageHistogram): HistogramView {
  return {
    bounds: BOUNDS_US,
    counts: histogram.slice(0, BUCKETS),
    sumUs: histogram[BUCKETS] as number,
    count: histogram[BUCKETS + 1] as number,
  };
}

/**
 * The `q` quantile (0…1) in µs, by linear interpolation in its bucket as Prometheus does; the last
 * finite bound for what is beyond it, NaN where nothing was counted.
 */
export function quantileOf(histogram: HistogramView, q: number): number {
  const { bounds, counts } = histogram;
  // Of the counts themselves: the engine may have counted one more since.
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return NaN;
  const rank = q * total;
  let below = 0;
  for (const [i, count] of counts.entries()) {
    const upper = bounds[i] as number;
    if (count > 0 && below + count >= rank) {
      const lower = i === 0 ? 0 : (bounds[i - 1] as number);
      return upper === Infinity ? lower : lower + ((upper - lower) * (rank - below)) / count;
    }
    below += count;
  }
  return bounds[bounds.length - 2] as number;
}
