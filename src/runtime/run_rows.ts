/**
 * Many observations through one backend: in chunks, so that long work shows progress and can be
 * interrupted; a recurrent policy takes the rows as one sequence, from a state of zeros.
 */

import { turnEventLoop } from "../base/event_loop.ts";
import type { Backend } from "./backend.ts";

/** Rows between two signs of progress. */
const CHUNK_ROWS = 1024;

export interface RunRowsOptions {
  /** Called with the number of rows done. */
  readonly onRows?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/** `observations` [rows, observationSize] → actions [rows, actionSize]. */
export async function runRows(
  backend: Backend,
  observations: Float32Array,
  rows: number,
  options: RunRowsOptions = {},
): Promise<Float32Array> {
  const { observationSize: from, actionSize: to } = backend;
  const actions = new Float32Array(rows * to);
  const state = backend.createState();
  // The toolkit's simulator builds the model anew for every call.
  const chunk = backend.name === "toolkit" ? rows : CHUNK_ROWS;
  const step = state.tensors.length === 0 ? chunk : 1;
  for (let row = 0; row < rows; row += step) {
    const end = Math.min(row + step, rows);
    const input = observations.subarray(row * from, end * from);
    await backend.infer(input, actions.subarray(row * to, end * to), state, end - row);
    options.onRows?.(end);
    if (end === rows || end % CHUNK_ROWS === 0) await turnEventLoop();
    options.signal?.throwIfAborted();
  }
  return actions;
}
