/**
 * Readings of power while something else goes on: before the load, and under it.
 */

import { mean } from "simple-statistics";
import type { Measured } from "../report/accept_document.ts";
import type { PowerSource } from "./power.ts";

/** A point of the page's plot stands for so many readings that there are no more than these. */
const POINTS_MAX = 1_200;

export interface PowerRecorder extends Disposable {
  /** From now on it is under load. */
  load(): void;
  /** Ends the readings. */
  finish(): Measured["power"];
}

/** Reads at once and then every `intervalS`, never two at a time. */
export function recordPower(source: PowerSource, intervalS: number): PowerRecorder {
  const timeS: number[] = [];
  const readings: number[] = [];
  const begun = performance.now();
  const now = (): number => (performance.now() - begun) / 1000;
  let loadFromS = Infinity;
  let isReading = false;
  let failure: string | undefined;
  const take = async (): Promise<void> => {
    if (isReading || failure !== undefined) return;
    isReading = true;
    try {
      const watts = await source.read();
      timeS.push(now());
      readings.push(watts);
    } catch (error) {
      failure = (error as Error).message;
    }
    isReading = false;
  };
  void take();
  const timer = setInterval(() => void take(), intervalS * 1000);
  return {
    load() {
      loadFromS = now();
    },
    finish() {
      clearInterval(timer);
      if (failure !== undefined) return { state: "missing", why: `${source.name}: ${failure}` };
      const isLoad = (at: number | undefined): boolean => (at ?? 0) >= loadFromS;
      const idle = readings.filter((_, i) => !isLoad(timeS[i]));
      const load = readings.filter((_, i) => isLoad(timeS[i]));
      if (idle.length === 0 || load.length === 0) {
        const when = load.length === 0 ? "under load" : "before the load";
        return { state: "missing", why: `${source.name}: no reading came ${when}` };
      }
      const step = Math.ceil(readings.length / POINTS_MAX);
      const some = (values: readonly number[]) => values.filter((_, i) => i % step === 0);
      return {
        state: "measured",
        source: source.name,
        intervalS,
        idle: phase(idle),
        load: phase(load),
        aboveIdleW: mean(load) - mean(idle),
        constant: new Set(load).size === 1,
        series: { timeS: some(timeS), watts: some(readings), loadFromS },
      };
    },
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

function phase(watts: number[]) {
  return { samples: watts.length, meanW: mean(watts), maxW: Math.max(...watts) };
}
