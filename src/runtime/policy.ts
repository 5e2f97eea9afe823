/**
 * A policy as everyone runs it: an optional normalizer, then a backend. Takes observations as the
 * robot has them, and gives an action or throws, never something in between.
 */

import { assert } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import type { Normalizer } from "../policy/normalizer.ts";
import type { Backend, PolicyState } from "./backend.ts";
import { NotFiniteError } from "./not_finite.ts";

export interface Policy extends Disposable {
  readonly backend: Backend;
  readonly normalizer: Normalizer | undefined;
  /** What the model's metadata says; `none` where it says nothing. */
  readonly normalizerUse: NormalizerUse;
  readonly observationSize: number;
  readonly actionSize: number;
  /** Throws MALFORMED for an observation that is not finite, as it is or normalised. */
  check(observation: Float32Array): void;
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
  const check = (observation: Float32Array): void => {
    assert(observation.length === observationSize, "observation length");
    checkObservation("observation", observation);
    normalised.set(observation);
    normalizer?.apply(normalised);
    checkObservation("normalised observation", normalised);
  };
  return {
    backend,
    normalizer,
    normalizerUse,
    observationSize,
    actionSize,
    check,
    act(observation, action, state) {
      check(observation);
      const running = backend.infer(normalised, action, state, 1);
      if (running !== undefined) return running.then(() => checkAction(action));
      checkAction(action);
    },
    [Symbol.dispose]: () => backend[Symbol.dispose](),
  };
}

function checkObservation(what: string, values: Float32Array): void {
  const wrong = notFinite(what, values);
  if (wrong !== undefined) throw new Lite3Error("MALFORMED", wrong);
}

function checkAction(action: Float32Array): void {
  const wrong = notFinite("action", action);
  if (wrong !== undefined) throw new NotFiniteError(wrong);
}

function notFinite(what: string, values: Float32Array): string | undefined {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      return `Cannot act: ${what}[${i}] is ${values[i]}, need finite numbers`;
    }
  }
  return undefined;
}
