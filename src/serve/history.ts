/**
 * What the service remembers beyond an engine's life: counters that never fall, deaths, and the
 * last events.
 */

import { logEvent } from "../base/log.ts";
import { COUNTERS, type CounterName } from "../service/page.ts";
import type { EngineNotice } from "./engine_process.ts";
import type { DeathKind, ServiceEvent } from "./view.ts";

const EVENTS_MAX = 200;

export type Counters = Readonly<Record<CounterName, number>>;

export class History {
  readonly #dead = Object.fromEntries(COUNTERS.map((name) => [name, 0])) as Record<
    CounterName,
    number
  >;
  readonly deaths: Record<DeathKind, number> = { crash: 0, hang: 0, nonFinite: 0, failed: 0 };
  restarts = 0;
  swaps = 0;
  readonly #events: ServiceEvent[] = [];
  readonly #saidOfModel = new Set<string>();

  get events(): readonly ServiceEvent[] {
    return this.#events;
  }

  /** Keeps what an engine that is no more had counted. */
  keep(counters: Counters): void {
    for (const name of COUNTERS) this.#dead[name] += counters[name];
  }

  /** Of all that were, and of these that live. */
  totals(living: readonly Counters[]): Counters {
    const total = { ...this.#dead };
    for (const counters of living) for (const name of COUNTERS) total[name] += counters[name];
    return total;
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
    this.#events.push({ at: new Date().toISOString(), level, name, message });
    if (this.#events.length > EVENTS_MAX) this.#events.shift();
    logEvent(level, name, message, fields);
  }
}
