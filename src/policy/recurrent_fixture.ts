/**
 * For tests: seeded LSTM and GRU policies, and the golden sequences of the real ones.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { memorySource } from "../base/files.ts";
import { createRandom } from "../base/random.ts";
import { readNpz } from "../formats/npz.ts";
import { toFloat32 } from "../formats/tensor.ts";
import type { LinearLayer, Network } from "./network.ts";
import { type CellKind, GATES, type RecurrentLayer } from "./recurrent.ts";

const CHECKPOINTS = join(import.meta.dir, "../../fixtures/checkpoints");

/** A GRU that rsl_rl 4.0 wrote, and what it needs to be exported (expect.json). */
export const GRU_CHECKPOINT = {
  path: join(CHECKPOINTS, "rsl_rl_4_0_gru.pt"),
  activation: "swish",
} as const;

export interface Sequence {
  readonly rows: number;
  /** Shape [rows, observationSize]. */
  readonly observations: Float32Array;
  /** What the library computed, one step after the other. */
  readonly actions: Float32Array;
}

/** The golden file beside a checkpoint, by the checkpoint's name without its ending. */
export async function readSequence(name: string): Promise<Sequence> {
  const bytes = readFileSync(join(CHECKPOINTS, `${name}.golden.npz`));
  const arrays = await readNpz(memorySource(bytes));
  const obs = present(arrays.get("obs"), "obs");
  return {
    rows: present(obs.shape[0]),
    observations: toFloat32(obs),
    actions: toFloat32(present(arrays.get("actions"), "actions")),
  };
}

/** Weights uniform in −1..1. */
export function seededRecurrent(
  cell: CellKind,
  sizes: { readonly inputs: number; readonly hidden: number; readonly layers: number },
  seed = 1,
): RecurrentLayer {
  const { inputs, hidden, layers } = sizes;
  const random = createRandom(seed);
  const draw = (count: number) => Float32Array.from({ length: count }, () => random.between(-1, 1));
  const rows = GATES[cell] * hidden;
  const stack = Array.from({ length: layers }, (_, index) => {
    const width = index === 0 ? inputs : hidden;
    return {
      inputs: width,
      weightIh: draw(rows * width),
      weightHh: draw(rows * hidden),
      biasIh: draw(rows),
      biasHh: draw(rows),
    };
  });
  return { kind: "recurrent", cell, name: "rnn", hidden, stack };
}

/** Observation → LSTM or GRU → two actions. */
export function seededNetwork(cell: CellKind, layers: number): Network {
  const hidden = 5;
  const memory = seededRecurrent(cell, { inputs: 3, hidden, layers });
  const random = createRandom(2);
  const draw = (count: number) => Float32Array.from({ length: count }, () => random.between(-1, 1));
  const head: LinearLayer = {
    kind: "linear",
    name: "actor",
    inputs: hidden,
    outputs: 2,
    weight: draw(2 * hidden),
    bias: draw(2),
  };
  return { layers: [memory, head], observationSize: 3, actionSize: 2 };
}
