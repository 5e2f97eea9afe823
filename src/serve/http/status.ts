/**
 * `/status.json`: what the live page asks for twice a second. Histograms go as counts since the
 * service began; who asks takes the difference of two answers, so the server keeps nothing for
 * anybody.
 */

import { outputNames } from "../../policy/contract.ts";
import { BOUNDS_US } from "../../service/page.ts";
import type { ServiceSnapshot, ServiceView } from "../view.ts";
import { TERMS_SHOWN, termNames } from "./terms.ts";

type AsTheyAre =
  "ready" | "deaths" | "restarts" | "swaps" | "engineRssBytes" | "supervisorRssBytes";

export interface ServiceStatus extends Pick<ServiceSnapshot, AsTheyAre> {
  /**
   * Another where the page has to be another: for another service, or other terms. Null while no
   * engine lives, since a page need not change for that.
   */
  readonly layout: string | null;
  /** Of a clock that does not jump; starts anywhere. */
  readonly atMs: number;
  readonly why: string | null;
  readonly model: ServiceSnapshot["model"] | null;
  readonly engine: { readonly state: string; readonly openConnections: number } | null;
  readonly totals: ServiceSnapshot["totals"]["counters"];
  /** In these buckets. */
  readonly service: readonly number[];
  readonly inference: readonly number[];
  /** Upper bounds of the buckets in µs; the last bucket has none. */
  readonly boundsUs: readonly number[];
  /** Newest first. */
  readonly events: ServiceSnapshot["events"];
  /** Of the last request, in the layout's order; null for what is not finite. */
  readonly observation: readonly (number | null)[];
  readonly action: readonly (number | null)[];
  /** Per observation term: values outside the calibration range. */
  readonly outside: readonly number[];
}

export function statusOf(view: ServiceView): ServiceStatus {
  const snapshot = view.snapshot();
  const { ready, totals, deaths, restarts, swaps, engineRssBytes, supervisorRssBytes } = snapshot;
  const { engine } = snapshot;
  return {
    layout: engine ? layoutOf(view, snapshot).key : null,
    atMs: performance.now(),
    ready,
    why: snapshot.why ?? null,
    model: snapshot.model ?? null,
    engine: engine ? { state: engine.state, openConnections: engine.openConnections } : null,
    totals: totals.counters,
    service: [...totals.service.counts],
    inference: [...totals.inference.counts],
    boundsUs: [...BOUNDS_US.subarray(0, -1)],
    events: snapshot.events.toReversed(),
    observation: shown(engine?.observation),
    action: shown(engine?.action),
    outside: [...totals.outside.subarray(0, TERMS_SHOWN)],
    deaths,
    restarts,
    swaps,
    engineRssBytes,
    supervisorRssBytes,
  };
}

/** What the page is made for. */
export interface Layout {
  readonly key: string;
  readonly observations: readonly string[];
  readonly actions: readonly string[];
}

export function layoutOf(view: ServiceView, snapshot: ServiceSnapshot): Layout {
  const { engine, observationNames, actionNames } = snapshot;
  const observations = termNames(observationNames, engine?.observation.length ?? 0, "observation");
  const actionSize = engine?.action.length ?? 0;
  const actions = termNames(
    actionNames.length > 0 ? actionNames : outputNames(actionSize),
    actionSize,
    "action",
  );
  const parts = [view.version, view.startedMs, observations, actions];
  return { key: Bun.hash(JSON.stringify(parts)).toString(36), observations, actions };
}

function shown(values: Float32Array | undefined): (number | null)[] {
  return Array.from(values?.subarray(0, TERMS_SHOWN) ?? [], (value) =>
    Number.isFinite(value) ? Number(value.toPrecision(6)) : null,
  );
}
