/**
 * A policy as everyone runs it: an optional normalizer, then a backend. Takes observations as the
 * robot has them, and gives an action or throws, never something in between.
 */

import { assert } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import type { Normalizer } from "../policy/normalizer.ts";
import type { Backend, PolicyState } from "./backend.ts";

export interface Policy extends Disposable {
  readonly backend: Backend;
  readonly normalizer: Normalizer | undefined;
  /** What the model's metadata says; `none` where it says nothing. */
  readonly normalizerUse: NormalizerUse;
  readonly observationSize: number;
  readonly actionSize: number;
  /**
   * One observation (shape [observationSize], left as it is) to one action ([actionSize]).
   * Throws MALFORMED for an observation, and NATIVE for an action, that is not finite. Where the
   * backend is synchronous so is this, and it allocates nothing.
   */
  act(observation: Float32Array, action: Float32Array, state: PolicyState): void | Promise<void>;
}

export function createPolicy(
  backend: Backend,
  normalizer?: Normalizer,
  normalizerUse: NormalizerUse = "none",
): Policy {
  const { observationSize, actionSize } = backend;
  const normalised = new Float32Array(observationSize);
  return {
    backend,
    normalizer,
    normalizerUse,
    observationSize,
    actionSize,
    act(observation, action, state) {
      assert(observation.length === observationSize, "observation length");
      checkFinite("observation", observation, "MALFORMED");
      normalised.set(observation);
      normalizer?.apply(normalised);
      checkFinite("normalised observation", normalised, "MALFORMED");
      const running = backend.infer(normalised, action, state, 1);
      if (running !== undefined) return running.then(() => checkAction(action));
      checkAction(action);
    },
    [Symbol.dispose]: () => backend[Symbol.dispose](),
  };
}

const checkAction = (action: Float32Array): void => checkFinite("action", action, "NATIVE");

function checkFinite(what: string, values: Float32Array, code: "MALFORMED" | "NATIVE"): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new Lite3Error(code, `Cannot act: ${what}[${i}] is ${values[i]}, need finite numbers`);
    }
  }
}
