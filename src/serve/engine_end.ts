/**
 * What an engine's end means.
 */

import { Lite3Error, quote } from "../base/errors.ts";
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
  const { failure } = engine;
  if (failure !== undefined) return new Lite3Error(failure.code, failure.message);
  return new Lite3Error(
    engine.killedFor === "hang" ? "DEADLINE" : "NATIVE",
    `Cannot open ${quote(engine.open.model)}: its engine ${engine.describeEnd()}; lite3rl doctor ` +
      "checks library and driver",
  );
}
