/**
 * `/status.json`: what the live page asks for twice a second. Histograms go as cumulative counts;
 * who asks takes the difference of two answers, so that the server keeps nothing for anybody.
 */

import { BOUNDS_US, type HistogramView } from "../../service/page.ts";
import type { ServiceSnapshot, ServiceView } from "../view.ts";
import { TERMS_SHOWN, termNames } from "./terms.ts";

export interface ServiceStatus {
  readonly version: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** Since this process began, on a clock that does not jump. */
  readonly atMs: number;
  /** Bytes of memory, totals, deaths and so on, as they are. */
  readonly ready: boolean;
  readonly why: string | null;
  readonly model: ServiceSnapshot["model"] | null;
  readonly totals: ServiceSnapshot["totals"];
  readonly deaths: ServiceSnapshot["deaths"];
  readonly restarts: number;
  readonly swaps: number;
  readonly engineRssBytes: number;
  readonly supervisorRssBytes: number;
  /** Newest first. */
  readonly events: ServiceSnapshot["events"];
  readonly observation: readonly Term[];
  readonly action: readonly Term[];
  readonly engine: {
    readonly state: string;
    readonly openConnections: number;
    readonly service: readonly number[];
    readonly inference: readonly number[];
  } | null;
  /** Upper bounds of all buckets but the last, which has none. */
  readonly boundsUs: readonly number[];
}

interface Term {
  readonly name: string;
  /** Of the last request; null when it was not finite. */
  readonly value: number | null;
  /** Values outside the calibration range; absent for actions. */
  readonly outside?: number;
}

export function statusOf(view: ServiceView): ServiceStatus {
  const { ready, why, model, engine, events, observationNames, actionNames, ...rest } =
    view.snapshot();
  const { totals, deaths, restarts, swaps, engineRssBytes, supervisorRssBytes } = rest;
  const { observation = new Float32Array(), action = new Float32Array(), outside } = engine ?? {};
  return {
    version: view.version,
    startedAt: new Date(view.startedMs).toISOString(),
    atMs: performance.now(),
    ready,
    why: why ?? null,
    model: model ?? null,
    ...{ totals, deaths, restarts, swaps, engineRssBytes, supervisorRssBytes },
    events: events.toReversed(),
    observation: terms(observation, observationNames, "observation").map((term, i) => ({
      ...term,
      outside: outside?.[i] ?? 0,
    })),
    action: terms(action, actionNames, "action"),
    engine: engine
      ? {
          state: engine.state,
          openConnections: engine.openConnections,
          service: countsOf(engine.service),
          inference: countsOf(engine.inference),
        }
      : null,
    boundsUs: [...BOUNDS_US.subarray(0, -1)],
  };
}

function terms(values: Float32Array, names: readonly string[], kind: string): Term[] {
  const shown = values.subarray(0, TERMS_SHOWN);
  return termNames(names, values.length, kind).map((name, i) => {
    const value = shown[i] as number;
    return { name, value: Number.isFinite(value) ? Number(value.toPrecision(6)) : null };
  });
}

const countsOf = (histogram: HistogramView): number[] => [...histogram.counts];
