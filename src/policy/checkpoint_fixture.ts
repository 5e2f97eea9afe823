/**
 * For tests: torch checkpoints of small actors, as bytes.
 */

import { type Code, dict } from "../formats/pickle_fixture.ts";
import { bytesOf, tensorCode, writeTorch } from "../formats/torch_fixture.ts";

export interface SavedTensor {
  readonly shape: readonly number[];
  /** 1, 2, 3 … if absent. */
  readonly values?: readonly number[];
}

/** Two observations, three hidden units, one action, with the critic and the noise beside it. */
export const TINY_STATE: Readonly<Record<string, SavedTensor>> = {
  "actor.0.weight": { shape: [3, 2], values: [1, 2, -1, 0.5, 0, 0] },
  "actor.0.bias": { shape: [3], values: [0.5, -2, 1] },
  "actor.2.weight": { shape: [1, 3], values: [2, 1, -0.25] },
  "actor.2.bias": { shape: [1], values: [0.125] },
  "critic.0.weight": { shape: [1, 2] },
  "critic.0.bias": { shape: [1] },
  log_std: { shape: [1] },
};

/** `torch.save` of a state dict of float32 tensors, or of what `wrap` puts around it. */
export function writeCheckpoint(
  state: Readonly<Record<string, SavedTensor>>,
  wrap: (stateDict: Code) => Code = (stateDict) => stateDict,
): Uint8Array {
  const entries = Object.entries(state);
  const codes = entries.map(([name, { shape }], i) => [name, tensorCode({ key: `${i}`, shape })]);
  const storages = entries.map(([, tensor], i) => [`${i}`, bytesOf(valuesOf(tensor))]);
  return writeTorch(
    wrap(dict(Object.fromEntries(codes) as Record<string, Code>)),
    Object.fromEntries(storages) as Record<string, Uint8Array>,
  );
}

/** The same tensors under other names; those that `rename` gives no name are left out. */
export function renamed(
  state: Readonly<Record<string, SavedTensor>>,
  rename: (name: string) => string | undefined,
): Record<string, SavedTensor> {
  return Object.fromEntries(
    Object.entries(state).flatMap(([name, tensor]) => {
      const other = rename(name);
      return other === undefined ? [] : [[other, tensor]];
    }),
  );
}

function valuesOf({ shape, values }: SavedTensor): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  return Float32Array.from(values ?? Array.from({ length: count }, (_, i) => i + 1));
}
