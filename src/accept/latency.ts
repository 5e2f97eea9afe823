/**
 * Latency as MLPerf LoadGen's single stream has it: one query of one observation at a time, the
 * next when the last one is answered, until there are enough of them and they took long enough.
 * What a query takes is what its caller waits: for a .rknn the way into the process of the NPU's
 * library and back is in it. The library's own times (set, run, get) are given beside.
 */

import { generateObservations } from "../dataset/generate_observations.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { Lite3Error } from "../base/errors.ts";
import type { ObservationStats } from "../policy/normalizer.ts";
import type { Measured, MeasuredOf } from "../report/accept_document.ts";
import { logHistogram } from "../report/histogram.ts";
import type { Backend } from "../runtime/backend.ts";
import { p99Above, spreadOf } from "./spread.ts";

/** The blueprint's warm-up. */
export const WARM_UP = 16;
/** Observations that are asked, over and over. */
const OBSERVATIONS = 256;
/** Queries without an action after which the rest is not asked. */
const UNANSWERED_MAX = 100;
/** Between so many queries signals and timers have their turn. */
const QUERIES_PER_TURN = 64;

export interface Stream {
  readonly backend: Backend;
  readonly subject: string;
  /** Of raw observations, where the backend normalises by itself. */
  readonly stats?: ObservationStats | undefined;
  readonly noNpu: string | null;
  readonly queriesMin: number;
  readonly durationMinS: number;
  readonly seed: number;
  readonly stop: { readonly requested: boolean };
  onQuery(durationS: number): void;
}

/** Asks until both minima are reached, or a signal comes. */
export async function measureLatency(stream: Stream): Promise<Measured["latency"]> {
  const { backend, queriesMin, durationMinS, stop } = stream;
  const { observationSize, actionSize } = backend;
  const { data } = generateObservations(OBSERVATIONS, observationSize, stream.seed, stream.stats);
  const observation = new Float32Array(observationSize);
  const action = new Float32Array(actionSize);
  const state = backend.createState();
  const tookUs: number[] = [];
  const splitUs: [number[], number[], number[]] = [[], [], []];
  const own = libraryOf(backend);
  const failure = { count: 0, reason: null as string | null };
  const ask = async (query: number): Promise<number | undefined> => {
    const from = (query % OBSERVATIONS) * observationSize;
    observation.set(data.subarray(from, from + observationSize));
    const started = Bun.nanoseconds();
    try {
      await backend.infer(observation, action, state, 1);
      const us = (Bun.nanoseconds() - started) / 1000;
      const bad = action.findIndex((value) => !Number.isFinite(value));
      if (bad < 0) return us;
      throw new Lite3Error("NATIVE", `action[${bad}] is ${action[bad]}, need finite numbers`);
    } catch (error) {
      if (!(error instanceof Lite3Error)) throw error;
      failure.count++;
      failure.reason ??= error.message;
      return undefined;
    }
  };
  for (let query = 0; query < WARM_UP; query++) await ask(query);
  // What did not answer while warming up counts: the first action of a robot is one as well.
  Bun.gc(true);
  const begun = Bun.nanoseconds();
  const durationS = (): number => (Bun.nanoseconds() - begun) / 1e9;
  for (let query = 0; query < queriesMin || durationS() < durationMinS; query++) {
    const us = await ask(query);
    if (us !== undefined) {
      tookUs.push(us);
      own?.timesUs.forEach((time, i) => splitUs[i]?.push(time));
    }
    if (failure.count >= UNANSWERED_MAX) break;
    if (query % QUERIES_PER_TURN === 0) {
      await turnEventLoop();
      stream.onQuery(durationS());
      if (stop.requested) break;
    }
  }
  const seconds = durationS();
  if (tookUs.length === 0) {
    return { state: "failed", why: failure.reason ?? "no query was answered" };
  }
  return { ...describe(stream, tookUs, splitUs), durationS: seconds, ...unanswered(failure) };
}

const unanswered = ({ count, reason }: { count: number; reason: string | null }) => ({
  unanswered: count,
  reason,
});

interface Library {
  readonly timesUs: Float64Array;
  readonly versions: { readonly api: string; readonly driver: string };
  readonly io: string;
}

/** A .rknn's backend says what its library took, and which it is. */
const libraryOf = (backend: Backend): Library | undefined =>
  "timesUs" in backend ? (backend as unknown as Library) : undefined;

type Figures = Omit<MeasuredOf<"latency">, "durationS" | "unanswered" | "reason">;

function describe(
  { backend, subject, noNpu }: Stream,
  tookUs: readonly number[],
  splitUs: readonly (readonly number[])[],
): Figures {
  const library = libraryOf(backend);
  const sorted = tookUs.toSorted((a, b) => a - b);
  const [setUs, runUs, getUs] = splitUs.map((times) => {
    if (times.length === 0) return { p50: 0, p99: 0 };
    const { p50, p99 } = spreadOf(times.toSorted((a, b) => a - b));
    return { p50, p99 };
  });
  const { edges, counts, zeros } = logHistogram(tookUs);
  return {
    state: "measured",
    evidence: backend.arithmetic,
    subject,
    backend: backend.name,
    library: library === undefined ? null : { ...library.versions, io: library.io },
    warmUp: WARM_UP,
    queries: tookUs.length,
    us: spreadOf(sorted),
    p99UpperUs: p99Above(sorted) ?? null,
    split: library && setUs && runUs && getUs ? { setUs, runUs, getUs } : null,
    histogram: { edges: [...edges], counts: [...counts], zeros },
    noNpu,
  };
}
