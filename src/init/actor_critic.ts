/**
 * A generated ActorCritic under the blueprint's keys: `actor.0.weight`, `actor.0.bias`,
 * `actor.2.weight`, … and the same for the critic, as `torch.save(model.state_dict())` has them.
 * It has learned nothing; it is there to try the way of a policy with.
 */

import { Lite3Error } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { createRandom, type Random } from "../base/random.ts";
import { type SavedTensor, writeStateDict } from "../formats/torch_writer.ts";
import { writeNpz } from "../formats/npz.ts";

export interface ActorSizes {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly hiddenSizes: readonly number[];
}

/** The checkpoint's bytes; the same sizes and seed give the same. */
export function generateCheckpoint(sizes: ActorSizes, seed: number): Uint8Array {
  const { observationSize, actionSize, hiddenSizes } = sizes;
  const actor = [observationSize, ...hiddenSizes, actionSize];
  const critic = [observationSize, ...hiddenSizes, 1];
  checkSize(actor, critic);
  const random = createRandom(seed);
  return writeStateDict({
    ...generateNetwork("actor", actor, random),
    ...generateNetwork("critic", critic, random),
  });
}

/** Statistics of no real observations, but such that leaving them out changes every action. */
export function generateObsStats(observationSize: number, seed: number): Uint8Array {
  const random = createRandom(seed);
  const draw = (low: number, high: number) => ({
    dtype: "float32" as const,
    shape: [observationSize],
    data: Float32Array.from({ length: observationSize }, () => random.between(low, high)),
  });
  return writeNpz({ mean: draw(-0.1, 0.1), std: draw(0.5, 1.5) });
}

/** Linear layers at the even places of an `nn.Sequential`, activations between them. */
function generateNetwork(
  name: string,
  widths: readonly number[],
  random: Random,
): Record<string, SavedTensor> {
  const layers = widths.slice(1).map((outputs, i): Record<string, SavedTensor> => {
    const inputs = widths[i] ?? 0;
    // As torch.nn.Linear draws both: uniform within ±1/√inputs (kaiming_uniform_, a = √5).
    const bound = 1 / Math.sqrt(inputs);
    const draw = (length: number): Float32Array =>
      Float32Array.from({ length }, () => random.between(-bound, bound));
    return {
      [`${name}.${2 * i}.weight`]: { shape: [outputs, inputs], values: draw(outputs * inputs) },
      [`${name}.${2 * i}.bias`]: { shape: [outputs], values: draw(outputs) },
    };
  });
  return Object.assign({}, ...layers) as Record<string, SavedTensor>;
}

function checkSize(...networks: readonly (readonly number[])[]): void {
  const parameters = networks
    .map((widths) => widths.slice(1).reduce((sum, out, i) => sum + out * ((widths[i] ?? 0) + 1), 0))
    .reduce((a, b) => a + b);
  if (parameters <= LIMITS.generatedParameters) return;
  throw new Lite3Error(
    "TOO_LARGE",
    `Cannot generate a policy of ${parameters} parameters: at most ` +
      `${LIMITS.generatedParameters} are made, give smaller --hidden-sizes`,
  );
}
