/**
 * Actions that are no numbers: which, and what can be said of the others.
 */

export interface NonFiniteAction {
  readonly side: "a" | "b";
  readonly sample: number;
  readonly output: string;
  /** `NaN`, `Infinity` or `-Infinity`, which JSON has no numbers for. */
  readonly value: string;
}

export interface NonFiniteActions {
  /** Of both sides together. */
  readonly values: number;
  /** Samples that have one on either side. */
  readonly samples: number;
  /** In the order of samples, a before b; at most ten. */
  readonly first: readonly NonFiniteAction[];
}

const LISTED = 10;

/** Of two sets of actions [samples, names.length]; undefined where all are finite. */
export function findNonFinite(
  a: Float32Array,
  b: Float32Array,
  names: readonly string[],
): NonFiniteActions | undefined {
  const width = names.length;
  const first: NonFiniteAction[] = [];
  let [values, samples] = [0, 0];
  for (let sample = 0; sample < a.length / width; sample++) {
    const before = values;
    for (const [side, actions] of [["a", a] as const, ["b", b] as const]) {
      for (const [i, output] of names.entries()) {
        const value = actions[sample * width + i] as number;
        if (Number.isFinite(value)) continue;
        values++;
        if (first.length < LISTED) first.push({ side, sample, output, value: String(value) });
      }
    }
    if (values > before) samples++;
  }
  return values === 0 ? undefined : { values, samples, first };
}

/** Indices of the samples that are finite on both sides. */
export function finiteSamples(a: Float32Array, b: Float32Array, width: number): number[] {
  const isFiniteRow = (actions: Float32Array, sample: number): boolean =>
    actions.subarray(sample * width, (sample + 1) * width).every(Number.isFinite);
  return Array.from({ length: a.length / width }, (_, sample) => sample).filter(
    (sample) => isFiniteRow(a, sample) && isFiniteRow(b, sample),
  );
}
