/**
 * What the service shows of itself: to HTTP, and in its last line.
 */

import type { FailureCause } from "../service/control.ts";
import type { EngineSnapshot } from "../service/page.ts";
import type { EngineTotals } from "../service/totals.ts";

/** The service as others see it; knows nothing of processes. */
export interface ServiceView {
  /** Of the program. */
  readonly version: string;
  /** Unix time in ms. */
  readonly startedMs: number;
  snapshot(): ServiceSnapshot;
}

export interface ServiceSnapshot {
  readonly ready: boolean;
  /** Why it is not. */
  readonly why?: string;
  readonly model: ServedModel | undefined;
  /** Of the living engine. */
  readonly engine: EngineSnapshot | undefined;
  /** Over all engines that lived: they never fall. */
  readonly totals: EngineTotals;
  readonly deaths: Readonly<Record<DeathKind, number>>;
  /** Engines that took a dead one's place. */
  readonly restarts: number;
  /** Engines that took a living one's place, with its connections. */
  readonly swaps: number;
  readonly engineRssBytes: number;
  readonly supervisorRssBytes: number;
  /** The last ones, oldest first. */
  readonly events: readonly ServiceEvent[];
  readonly observationNames: readonly string[];
  readonly actionNames: readonly string[];
}

export interface ServedModel {
  readonly file: string;
  readonly sha256: string;
  readonly generation: number;
  readonly backend: string;
  readonly evidence: string;
  readonly version?: string;
}

export type DeathKind = "crash" | "hang" | FailureCause;

export interface ServiceEvent {
  /** ISO 8601, UTC. */
  readonly at: string;
  readonly level: "info" | "warn" | "error";
  readonly name: string;
  readonly message: string;
}
