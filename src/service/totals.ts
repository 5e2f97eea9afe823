/**
 * What engines counted, added up: an engine's page begins anew with each engine, what the service
 * shows does not.
 */

import {
  BOUNDS_US,
  COUNTERS,
  type CounterName,
  type EngineSnapshot,
  type HistogramView,
} from "./page.ts";

export type EngineTotals = Pick<
  EngineSnapshot,
  "counters" | "service" | "inference" | "set" | "run" | "get" | "outside"
>;

const NO_DURATIONS: HistogramView = {
  bounds: BOUNDS_US,
  counts: new Float64Array(BOUNDS_US.length),
  sumUs: 0,
  count: 0,
};

const NOTHING: EngineTotals = {
  counters: Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<CounterName, number>,
  service: NO_DURATIONS,
  inference: NO_DURATIONS,
  outside: new Float64Array(0),
};

export const sumTotals = (all: readonly EngineTotals[]): EngineTotals => all.reduce(add, NOTHING);

function add(a: EngineTotals, b: EngineTotals): EngineTotals {
  return {
    counters: Object.fromEntries(
      COUNTERS.map((name) => [name, a.counters[name] + b.counters[name]]),
    ) as Record<CounterName, number>,
    service: addDurations(a.service, b.service),
    inference: addDurations(a.inference, b.inference),
    // The NPU's own times, where an engine told them.
    ...(a.set || b.set
      ? {
          set: addDurations(a.set, b.set),
          run: addDurations(a.run, b.run),
          get: addDurations(a.get, b.get),
        }
      : {}),
    outside: addNumbers(a.outside, b.outside),
  };
}

const addDurations = (a = NO_DURATIONS, b = NO_DURATIONS): HistogramView => ({
  bounds: BOUNDS_US,
  counts: addNumbers(a.counts, b.counts),
  sumUs: a.sumUs + b.sumUs,
  count: a.count + b.count,
});

/** As long as the longer one. */
function addNumbers(a: Float64Array, b: Float64Array): Float64Array {
  const [long, short] = a.length >= b.length ? [a, b] : [b, a];
  return long.map((value, i) => value + (short[i] ?? 0));
}
