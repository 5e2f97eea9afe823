/**
 * What is held against every environment of the user's, whatever it is written in.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import type { ObservationPart } from "./environment.ts";
import { programError } from "./program.ts";

const DEFAULT_RATE_HZ = 50;
/** Periods nearer than this are the same: 83.3 Hz and 12 ms. */
const SAME_PERIOD = 0.005;

/** Throws PROGRAM for the first number that is not finite. */
export function checkFinite(action: string, what: string, values: Float32Array): void {
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  throw programError(action, `${what}[${bad}] is ${values[bad]}, need finite numbers`);
}

/** The period the environment states, or that of `--rate`, or 50 Hz; both must agree. */
export function controlPeriod(
  spec: string,
  statedMs: number | undefined,
  rateHz: number | undefined,
): number {
  const askedMs = rateHz === undefined ? undefined : 1000 / rateHz;
  if (statedMs === undefined) return askedMs ?? 1000 / DEFAULT_RATE_HZ;
  const opening = `Cannot open environment ${quote(spec)}`;
  if (!(statedMs >= 1 && statedMs <= 60_000)) {
    throw programError(opening, `its control period is ${statedMs} ms, need 1 to 60000 ms`);
  }
  if (askedMs !== undefined && Math.abs(askedMs / statedMs - 1) > SAME_PERIOD) {
    throw new Lite3Error(
      "CONFIG",
      `${opening}: its control period is ${statedMs} ms and --rate is ${rateHz} Hz; ` +
        "leave --rate out",
    );
  }
  return statedMs;
}

/** Throws PROGRAM unless the parts add up to the observation. */
export function checkTerms(
  action: string,
  terms: readonly ObservationPart[],
  observationSize: number,
): void {
  const sum = terms.reduce((total, { size }) => total + size, 0);
  if (sum === observationSize) return;
  throw programError(
    action,
    `its observation terms add up to ${sum}, need the observation's ${observationSize}`,
  );
}
