/**
 * Seeded random numbers, by the well-kept `pure-rand`. The same seed gives the same numbers on
 * every machine, as long as only `uniform` and `between` are used.
 */

import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { mersenne } from "pure-rand/generator/mersenne";

export interface Random {
  /** Uniform in [0, 1). */
  uniform(): number;
  /** Uniform in [low, high). */
  between(low: number, high: number): number;
  /** Standard normal, by Box and Muller. Its last bits may differ between architectures. */
  normal(): number;
}

export function createRandom(seed: number): Random {
  const generator = mersenne(seed);
  const uniform = (): number => uniformFloat64(generator);
  return {
    uniform,
    between: (low, high) => low + (high - low) * uniform(),
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  };
}
