/**
 * A service to look at, for tests: no processes, but the real page of an engine, which the test
 * fills as an engine would.
 */

import { closeSync } from "node:fs";
import { LITE3_CONTRACT } from "../../policy/contract.ts";
import {
  COUNTER,
  type CounterName,
  createPage,
  type EnginePage,
  readPage,
  recordUs,
  STATES,
  WORD,
  writeLast,
} from "../../service/page.ts";
import type { ServiceSnapshot, ServiceView } from "../view.ts";

export const OBSERVATIONS = LITE3_CONTRACT.observation.flatMap(({ name, size }) =>
  Array.from({ length: size }, (_, i) => `${name}[${i}]`),
);

export interface FilledView extends ServiceView, Disposable {
  readonly page: EnginePage;
  /** What the next snapshots say instead. */
  change(snapshot: Partial<ServiceSnapshot>): void;
  /** As if this many requests had been answered, the n-th since the start in 20 to 40 µs. */
  answer(count: number): void;
  count(counter: CounterName, by: number): void;
}

/** Ready, with a demo policy of 45 observations and 12 actions, and nothing counted. */
export function filledView(): FilledView {
  const { page, fd } = createPage();
  closeSync(fd);
  page.words[WORD.state] = STATES.indexOf("serving");
  page.words[WORD.openConnections] = 2;
  page.words[WORD.generation] = 3;
  page.words[WORD.observationSize] = 45;
  page.words[WORD.actionSize] = 12;
  let changed: Partial<ServiceSnapshot> = {};
  let answered = 0;
  const count = (counter: CounterName, by: number): void => {
    page.counters[COUNTER[counter]] = (page.counters[COUNTER[counter]] as number) + by;
  };
  return {
    version: "0.1.0",
    startedMs: 1_795_615_200_000,
    page,
    count,
    change: (snapshot) => {
      changed = { ...changed, ...snapshot };
    },
    answer(requests) {
      for (let i = 0; i < requests; i++, answered++) {
        recordUs(page.histograms.service, 30 + 10 * Math.sin(answered));
        recordUs(page.histograms.inference, 14);
      }
      const wave = (i: number): number => Math.sin(answered / 200 + i);
      writeLast(
        page,
        Float32Array.from(OBSERVATIONS, (_, i) => wave(i)),
        actionsOf(wave),
      );
      count("requests", requests);
      count("answered", requests);
    },
    snapshot() {
      const engine = readPage(page);
      return { ...SNAPSHOT, engine, totals: engine, ...changed };
    },
    [Symbol.dispose]: () => page[Symbol.dispose](),
  };
}

const actionsOf = (wave: (i: number) => number): Float32Array =>
  Float32Array.from(LITE3_CONTRACT.joints, (_, i) => 0.8 * wave(2 * i));

const SNAPSHOT: Omit<ServiceSnapshot, "engine" | "totals"> = {
  ready: true,
  model: {
    file: "store/v7/policy.onnx",
    sha256: "9f2c4b1d0e8a7f3356c2d1f0a9b8e7d6c5b4a39281706f5e4d3c2b1a09f8e7d6",
    generation: 3,
    backend: "mlp",
    evidence: "cpu",
  },
  deaths: { crash: 0, hang: 0, nonFinite: 0, failed: 0 },
  restarts: 0,
  swaps: 2,
  engineRssBytes: 60 << 20,
  supervisorRssBytes: 55 << 20,
  events: [
    { at: "2026-11-25T14:00:00.000Z", level: "info", name: "ready", message: "generation 3" },
  ],
  observationNames: OBSERVATIONS,
  actionNames: LITE3_CONTRACT.joints,
};
