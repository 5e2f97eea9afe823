/**
 * Observations of the last seconds, for a new model to be tried on before it serves.
 */

/** A sample each half second, so those of 16 s. */
const ROWS_MAX = 32;
/** They go to the engine in one message of 64 KiB, some 20 characters a number. */
const VALUES_MAX = 1_500;

export interface RecentObservations {
  add(observation: Float32Array): void;
  /** Oldest first. */
  rows(): number[][];
}

export function createRecentObservations(): RecentObservations {
  let rows: number[][] = [];
  return {
    add(observation) {
      if (observation.length === 0 || !observation.every(Number.isFinite)) return;
      const keep = Math.min(ROWS_MAX, Math.floor(VALUES_MAX / observation.length));
      rows = keep === 0 ? [] : [...rows, Array.from(observation)].slice(-keep);
    },
    rows: () => rows,
  };
}
