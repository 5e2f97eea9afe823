/**
 * What an engine's end means.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import type { ReadyEvent } from "../service/control.ts";
import type { EngineProcess } from "./engine_process.ts";
import type { DeathKind } from "./view.ts";

/** What the death of an engine that served counts as. */
export function kindOfDeath(
  engine: EngineProcess,
  nonFinite: number,
  nonFiniteMax: number,
): DeathKind {
  if (engine.killedFor !== undefined) return engine.killedFor;
  return engine.failure !== undefined && nonFinite >= nonFiniteMax ? "nonFinite" : "crash";
}

/** Why an engine could not be opened, as the verb's error. */
export function openingError(engine: EngineProcess): Lite3Error {
  if (engine.failureError !== undefined) return engine.failureError;
  return new Lite3Error(
    engine.killedFor === "hang" ? "DEADLINE" : "NATIVE",
    `Cannot open ${quote(engine.open.model)}: its engine ${engine.describeEnd()}; lite3rl doctor ` +
      "checks library and driver",
  );
}

export type Sizes = Pick<ReadyEvent, "observationSize" | "actionSize">;

/** Why an engine that is ready cannot take the place of one with these sizes; undefined: it can. */
export function sizesProblem({ open, ready }: EngineProcess, before: Sizes): string | undefined {
  if (ready?.observationSize === before.observationSize && ready.actionSize === before.actionSize) {
    return undefined;
  }
  return (
    `has ${quote(open.model)}, which is ${ready?.observationSize} → ${ready?.actionSize}, ` +
    `but clients were promised ${before.observationSize} → ${before.actionSize}`
  );
}
