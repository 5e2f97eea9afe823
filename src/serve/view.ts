/**
 * What the service lets people and Prometheus see of itself. The HTTP server reads it at each
 * request and knows nothing of processes.
 */

import type { CounterName, EngineSnapshot } from "../service/page.ts";

export interface ServiceView {
  /** Of lite3rl. */
  readonly version: string;
  /** When the service began, in ms since 1970. */
  readonly startedMs: number;
  snapshot(): ServiceSnapshot;
}

export interface ServiceSnapshot {
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly why?: string;
  /** Undefined until the first model is open. */
  readonly model: ServedModel | undefined;
  /** Of the engine that lives; undefined while there is none. */
  readonly engine: EngineSnapshot | undefined;
  /** Over all engines since the service began, the living one included. */
  readonly totals: Readonly<Record<CounterName, number>>;
  readonly deaths: {
    readonly crash: number;
    readonly hang: number;
    /** Too many actions that were not finite. */
    readonly nonFinite: number;
  };
  /** Engines started in place of dead ones. */
  readonly restarts: number;
  /** Models taken over without a gap. */
  readonly swaps: number;
  readonly engineRssBytes: number;
  readonly supervisorRssBytes: number;
  /** The last 200, oldest first. */
  readonly events: readonly ServiceEvent[];
  /** Empty where the model names none; `termNames` fills in. */
  readonly observationNames: readonly string[];
  readonly actionNames: readonly string[];
}

export interface ServedModel {
  readonly file: string;
  readonly sha256: string;
  /** 1, 2, …: grows with each reload. */
  readonly generation: number;
  readonly backend: string;
  /** The backend's arithmetic: npu, cpu, double, … */
  readonly evidence: string;
  readonly version?: string;
}

export interface ServiceEvent {
  /** ISO 8601. */
  readonly at: string;
  readonly level: "info" | "warn" | "error";
  readonly name: string;
  readonly message: string;
}
