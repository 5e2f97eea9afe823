/**
 * `/metrics`: the service's state in Prometheus' text format, made anew for each scrape from what
 * the engines counted. Base units, so seconds and bytes; nothing here is on the data path.
 */

import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { CounterName, HistogramView } from "../../service/page.ts";
import type { ServiceSnapshot, ServiceView } from "../view.ts";
import { termNames } from "./terms.ts";

export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** Buckets of the page within one of Prometheus': three a decade, where the page has twelve. */
const BUCKETS_JOINED = 4;

/** Name without `lite3rl_` and `_total`, and what it counts. */
export const COUNTER_HELP: Readonly<Record<CounterName, readonly [name: string, help: string]>> = {
  connections: ["connections", "Connections taken"],
  connectionsRefused: ["connections_refused", "Connections turned away, over --max-clients"],
  credentialsRefused: ["credentials_refused", "Connections of users that are not allowed"],
  requests: ["requests", "Requests read"],
  answered: ["answers", "Requests answered with an action"],
  fallback: ["answers_fallback", "Answers by the CPU fallback"],
  degraded: ["answers_degraded", "Answers limited by a guard, or to an unusual observation"],
  badInput: ["bad_input", "Requests with a value that is not finite, or malformed"],
  deadlineMissed: ["deadline_missed", "Requests whose deadline had passed"],
  busy: ["busy", "Requests answered busy, of clients over --max-clients"],
  failed: ["failed", "Requests whose inference failed"],
  nonFinite: ["non_finite_actions", "Inferences whose action was not finite"],
  limited: ["limited_actions", "Actions that --action-limit cut"],
  fastActions: [
    "fast_actions",
    "Actions that changed by more than --action-limit from one to the next",
  ],
  partialFrames: ["partial_frames", "Clients that left in the middle of a request"],
  slowReaders: ["slow_readers", "Times that a client did not read its answers"],
  protocolErrors: ["protocol_errors", "Connections closed for breaking the protocol"],
  recorded: ["recorded_observations", "Observations recorded"],
  recordErrors: ["record_errors", "Observations that could not be recorded"],
  bytesIn: ["received_bytes", "Bytes read from clients"],
  bytesOut: ["sent_bytes", "Bytes written to clients"],
};

/** The text of one scrape. */
export function renderMetrics(view: ServiceView): Promise<string> {
  const snapshot = view.snapshot();
  const registry = new Registry();
  for (const [counter, [name, help]] of Object.entries(COUNTER_HELP)) {
    addCounter(registry, name, help, snapshot.totals.counters[counter as CounterName]);
  }
  addProcess(registry, view, snapshot);
  addModel(registry, snapshot);
  addDurations(registry, snapshot);
  addDrift(registry, snapshot);
  return registry.metrics();
}

function addProcess(registry: Registry, view: ServiceView, snapshot: ServiceSnapshot): void {
  const { deaths, engine } = snapshot;
  addGauge(registry, "ready", "1 while the service answers", Number(snapshot.ready));
  addGauge(registry, "start_time_seconds", "Start, in seconds since 1970", view.startedMs / 1000);
  addGauge(registry, "open_connections", "Clients connected", engine?.openConnections ?? 0);
  addCounter(registry, "engine_restarts", "Engines started for dead ones", snapshot.restarts);
  addCounter(registry, "model_swaps", "Models taken over without a gap", snapshot.swaps);
  addLabelled(registry, "engine_deaths", "Engines that died, by cause", "cause", [
    ["crash", deaths.crash],
    ["hang", deaths.hang],
    ["non_finite", deaths.nonFinite],
    ["failed", deaths.failed],
  ]);
  const memory = new Gauge({
    name: "lite3rl_resident_memory_bytes",
    help: "Resident memory, by process",
    labelNames: ["process"],
    registers: [registry],
  });
  memory.set({ process: "supervisor" }, snapshot.supervisorRssBytes);
  if (engine !== undefined) memory.set({ process: "engine" }, snapshot.engineRssBytes);
  const build = { name: "lite3rl_build_info", help: "1, with the version of lite3rl" };
  new Gauge({ ...build, labelNames: ["version"], registers: [registry] }).set(
    { version: view.version },
    1,
  );
}

function addModel(registry: Registry, { model }: ServiceSnapshot): void {
  if (model === undefined) return;
  addGauge(registry, "model_generation", "Grows with each reload of a model", model.generation);
  const { file, sha256, backend, evidence, version = "" } = model;
  const labels = { file, sha256, backend, evidence, version };
  new Gauge({
    name: "lite3rl_model_info",
    help: "1, with the model that answers and what runs it",
    labelNames: Object.keys(labels),
    registers: [registry],
  }).set(labels, 1);
}

function addDurations(registry: Registry, { totals }: ServiceSnapshot): void {
  const { service, inference, set, run, get } = totals;
  addHistogram(
    registry,
    "service_seconds",
    "From the last byte of a request read to its answer written",
    [[{}, service]],
  );
  addHistogram(registry, "inference_seconds", "Inference alone", [[{}, inference]]);
  if (set === undefined || run === undefined || get === undefined) return;
  addHistogram(registry, "npu_seconds", "Steps of an inference in the NPU's library", [
    [{ step: "set" }, set],
    [{ step: "run" }, run],
    [{ step: "get" }, get],
  ]);
}

/** One series a term, so that an alert can say which sensor is off. */
function addDrift(registry: Registry, { totals, observationNames }: ServiceSnapshot): void {
  const { outside } = totals;
  if (!outside.some((count) => count > 0)) return;
  const names = termNames(observationNames, outside.length, "observation");
  addLabelled(
    registry,
    "observation_outside",
    "Values outside the calibration range, by observation term",
    "term",
    names.map((name, i) => [name, outside[i] ?? 0]),
  );
}

function addCounter(registry: Registry, name: string, help: string, value: number): void {
  new Counter({ name: `lite3rl_${name}_total`, help, registers: [registry] }).inc(value);
}

function addLabelled(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  values: readonly (readonly [string, number])[],
): void {
  const counter = new Counter({
    name: `lite3rl_${name}_total`,
    help,
    labelNames: [label],
    registers: [registry],
  });
  for (const [of, value] of values) counter.inc({ [label]: of }, value);
}

function addGauge(registry: Registry, name: string, help: string, value: number): void {
  new Gauge({ name: `lite3rl_${name}`, help, registers: [registry] }).set(value);
}

/**
 * A histogram that was counted elsewhere: prom-client's own can only observe values one by one, so
 * what it would export is put in its place.
 */
function addHistogram(
  registry: Registry,
  name: string,
  help: string,
  views: readonly (readonly [labels: Record<string, string>, view: HistogramView])[],
): void {
  const full = `lite3rl_${name}`;
  const metric = new Histogram({ name: full, help, registers: [registry] });
  const values = views.flatMap(([labels, view]) => histogramSamples(full, labels, view));
  const exported = { name: full, help, type: "histogram", values, aggregator: "sum" };
  Object.assign(metric, { get: async () => exported, getForPromString: async () => exported });
}

/** Cumulative counts at every fourth bound, then the sum in seconds and the count. */
function histogramSamples(
  name: string,
  labels: Record<string, string>,
  { bounds, counts, sumUs }: HistogramView,
) {
  const samples: { metricName: string; labels: Record<string, string>; value: number }[] = [];
  const add = (suffix: string, value: number, more = {}): void => {
    samples.push({ metricName: `${name}_${suffix}`, labels: { ...labels, ...more }, value });
  };
  let below = 0;
  counts.forEach((count, i) => {
    below += count;
    const bound = bounds[i] as number;
    const le = bound === Infinity ? "+Inf" : String(Number((bound / 1e6).toPrecision(3)));
    if (i % BUCKETS_JOINED === 0 || bound === Infinity) add("bucket", below, { le });
  });
  add("sum", sumUs / 1e6);
  // Of the buckets, not of the page's own count: the two must agree, and one may be ahead.
  add("count", below);
  return samples;
}
