/**
 * What every backend must do, as one set of tests: the same cases run on each of them with the
 * demo policy, against the actions that torch computed.
 */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { assert, AssertionError, present } from "../base/assert.ts";
import { type GoldenActions, readGoldenActions } from "../policy/policy_fixture.ts";
import type { Backend } from "./backend.ts";

const OBSERVATIONS = 45;
const ACTIONS = 12;

export interface SuiteOptions {
  /** Largest |difference| to torch's float32 actions. */
  readonly tolerance: number;
  /** Cases that cannot hold for this backend, each with why. */
  readonly skip?: readonly { readonly test: string; readonly reason: string }[];
}

interface Opened {
  readonly backend: Backend;
  readonly golden: GoldenActions;
  /** Runs rows of golden observations into a new array. */
  readonly run: (from: number, rows: number) => Promise<Float32Array>;
}

type Case = (opened: Opened, options: SuiteOptions) => void | Promise<void>;

/**
 * Registers every case for one backend.
 *
 * @param open opens the demo policy without a normalizer, each time anew
 */
export function runBackendSuite(
  name: string,
  open: () => Backend | Promise<Backend>,
  options: SuiteOptions,
): void {
  const skipped = new Map(options.skip?.map(({ test, reason }) => [test, reason]));
  for (const word of skipped.keys()) assert(Object.hasOwn(CASES, word), `no case "${word}"`);
  describe(`${name} backend`, () => {
    let opened: Opened | undefined;
    beforeAll(async () => {
      const golden = await readGoldenActions();
      const backend = await open();
      opened = { backend, golden, run: (from, rows) => runRows(backend, golden, from, rows) };
    });
    afterAll(() => opened?.backend[Symbol.dispose]());

    for (const [word, run] of Object.entries(CASES)) {
      const reason = skipped.get(word);
      if (reason !== undefined) test.skip(`${word} (skipped: ${reason})`, () => {});
      else test(word, () => run(present(opened), options));
    }

    test("closes once and for all", async () => {
      const backend = await open();
      backend[Symbol.dispose]();
      backend[Symbol.dispose]();
      await asserts(backend, OBSERVATIONS, ACTIONS, 1);
    });
  });
}

const CASES: Readonly<Record<string, Case>> = {
  "says what it takes and gives, and nobody can change that": ({ backend }) => {
    const { inputs, outputs, observationSize, actionSize } = backend;
    const specs = [...inputs, ...outputs];
    const shapes = specs.map(({ shape: [rows, ...widths] }) => [rows ?? 1, ...widths]);
    expect([observationSize, actionSize, ...shapes]).toEqual([
      OBSERVATIONS,
      ACTIONS,
      [1, OBSERVATIONS],
      [1, ACTIONS],
    ]);
    const parts = [inputs, outputs, ...specs, ...specs.map(({ shape }) => shape)];
    expect(parts.filter((part) => !Object.isFrozen(part))).toEqual([]);
  },

  "gives the golden actions": async ({ golden, run }, { tolerance }) => {
    const actions = await run(0, golden.rows);
    const worst = actions.reduce(
      (max, x, i) => Math.max(max, Math.abs(x - present(golden.actions[i]))),
      0,
    );
    expect([actions.length, actions.every(Number.isFinite)]).toEqual([golden.rows * ACTIONS, true]);
    expect(worst).toBeLessThanOrEqual(tolerance);
  },

  "gives a batch the actions that its rows have alone": async ({ run }) => {
    const batch = await run(10, 7);
    const alone = new Float32Array(7 * ACTIONS);
    for (let row = 0; row < 7; row++) alone.set(await run(10 + row, 1), row * ACTIONS);
    expect(batch).toEqual(alone);
  },

  "gives the same bytes for the same input, whatever came between": async ({ run }) => {
    const first = await run(3, 1);
    await run(100, 4);
    expect(await run(3, 1)).toEqual(first);
  },

  "leaves the observation as it is": async ({ backend, golden }) => {
    const observation = golden.normalised.slice(0, OBSERVATIONS);
    await backend.infer(observation, new Float32Array(ACTIONS), backend.createState(), 1);
    expect(observation).toEqual(golden.normalised.slice(0, OBSERVATIONS));
  },

  "keeps neither array": async ({ backend, golden, run }) => {
    const [first, second] = [await run(0, 1), await run(1, 1)];
    const observation = golden.normalised.slice(0, OBSERVATIONS);
    const action = new Float32Array(ACTIONS);
    await backend.infer(observation, action, backend.createState(), 1);
    observation.fill(Number.NaN);
    expect([await run(1, 1), action, await run(0, 1)]).toEqual([second, first, first]);
    action.fill(7);
    expect(await run(0, 1)).toEqual(first);
  },

  "writes into a part of a larger array and nowhere else": async ({ backend, golden, run }) => {
    const observations = new Float32Array(OBSERVATIONS + 2).fill(Number.NaN);
    const actions = new Float32Array(ACTIONS + 2).fill(-1);
    observations.set(golden.normalised.subarray(0, OBSERVATIONS), 1);
    const observation = observations.subarray(1, 1 + OBSERVATIONS);
    await backend.infer(observation, actions.subarray(1, 1 + ACTIONS), backend.createState(), 1);
    expect([...actions]).toEqual([-1, ...(await run(0, 1)), -1]);
  },

  "asserts lengths that are not those of the rows": async ({ backend, run }) => {
    await asserts(backend, OBSERVATIONS - 1, ACTIONS, 1);
    await asserts(backend, OBSERVATIONS + 1, ACTIONS, 1);
    await asserts(backend, OBSERVATIONS, ACTIONS - 1, 1);
    await asserts(backend, OBSERVATIONS, ACTIONS + 1, 1);
    await asserts(backend, OBSERVATIONS, ACTIONS, 2);
    await asserts(backend, 2 * OBSERVATIONS, 2 * ACTIONS, 1);
    expect(await run(0, 1)).toHaveLength(ACTIONS); // It works as before.
  },

  "has no state, as a feed-forward policy": ({ backend }) => {
    expect(backend.createState().tensors).toEqual([]);
  },
};

async function runRows(
  backend: Backend,
  golden: GoldenActions,
  from: number,
  rows: number,
): Promise<Float32Array> {
  const observation = golden.normalised.slice(from * OBSERVATIONS, (from + rows) * OBSERVATIONS);
  const action = new Float32Array(rows * ACTIONS).fill(Number.NaN);
  await backend.infer(observation, action, backend.createState(), rows);
  return action;
}

/** A call with arrays of these lengths ends in an assertion and writes nothing. */
async function asserts(
  backend: Backend,
  observationLength: number,
  actionLength: number,
  rows: number,
): Promise<void> {
  const action = new Float32Array(actionLength).fill(-1);
  const call = async (): Promise<void> =>
    backend.infer(new Float32Array(observationLength), action, backend.createState(), rows);
  await expect(call()).rejects.toBeInstanceOf(AssertionError);
  expect(action.every((value) => value === -1)).toBe(true);
}
