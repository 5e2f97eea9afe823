/**
 * What the service remembers beyond an engine's life: totals that never fall, deaths, and the
 * last events.
 */

import { logEvent } from "../base/log.ts";
import { type EngineTotals, sumTotals } from "../service/totals.ts";
import type { EngineNotice } from "./engine_process.ts";
import type { DeathKind, ServiceEvent } from "./view.ts";

const EVENTS_MAX = 200;

export class History {
  #dead = sumTotals([]);
  readonly deaths: Record<DeathKind, number> = { crash: 0, hang: 0, nonFinite: 0, failed: 0 };
  restarts = 0;
  swaps = 0;
  /** Hears of every event as well. */
  onEvent: ((event: ServiceEvent) => void) | undefined;
  readonly #events: ServiceEvent[] = [];
  readonly #saidOfModel = new Set<string>();

  get events(): readonly ServiceEvent[] {
    return this.#events;
  }

  /** Keeps what an engine that is no more had counted. */
  keep(totals: EngineTotals): void {
    this.#dead = sumTotals([this.#dead, totals]);
  }

  /** Of all that were, and of these that live. */
  totals(living: readonly EngineTotals[]): EngineTotals {
    return sumTotals([this.#dead, ...living]);
  }

  /** What an engine says goes on; what each says of the same model, once. */
  readonly pass = ({ event, name, message, count = 1 }: EngineNotice): void => {
    if (name === "model") {
      if (this.#saidOfModel.has(message)) return;
      this.#saidOfModel.add(message);
    }
    const text = count > 1 ? `${message} (${count} times)` : message;
    this.tell(event, name, text, { count });
  };

  /** Logs something that happened, and remembers it. */
  tell(
    level: ServiceEvent["level"],
    name: string,
    message: string,
    fields: Readonly<Record<string, unknown>> = {},
  ): void {
    const event = { at: new Date().toISOString(), level, name, message };
    this.#events.push(event);
    this.onEvent?.(event);
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
    logEvent(level, name, message, fields);
  }
}
