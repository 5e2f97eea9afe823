/**
 * What an engine's end means.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { plural } from "../base/text.ts";
import type { ReadyEvent } from "../service/control.ts";
import type { EngineProcess } from "./engine_process.ts";
import type { DeathKind } from "./view.ts";

/** What the death of an engine that served counts as. */
export function kindOfDeath({ killedFor, failure }: EngineProcess): DeathKind {
  return killedFor ?? failure?.cause ?? "crash";
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

/** Could the CPU answer where this engine could not be opened? */
export const isNpuFailure = ({ isFallback }: EngineProcess, { code }: Lite3Error): boolean =>
  !isFallback && (code === "NATIVE" || code === "DEADLINE");

/** Why there is no next engine. */
export const finalError = (howLastEnded: string, restartsMax: number): Lite3Error =>
  new Lite3Error(
    "NATIVE",
    `Cannot go on serving: ${plural(restartsMax, "engine")} died within a minute without an ` +
      `answer in between, the last one ${howLastEnded}; ` +
      "lite3rl doctor checks library and driver, --restarts-max allows more",
  );

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
