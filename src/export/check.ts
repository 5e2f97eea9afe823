/**
 * Is the exported file the network? Runs it in ONNX Runtime and compares every action with the
 * network's own arithmetic in double precision.
 */

import { present } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import { createNetworkState, evaluate, type Network, recurrentLayer } from "../policy/network.ts";
import { openOnnx } from "../runtime/onnx.ts";

/** Largest difference allowed, relative to the sample's largest action where that is above 1. */
export const TOLERANCE = 1e-5;
const SAMPLES = 64;
const SEED = 20_240_601;

export interface ExportCheck {
  /** Largest |difference| / max(1, largest |action| of the sample). */
  readonly max: number;
  readonly samples: number;
}

/** Throws CHECK_FAILED when the file acts otherwise than the network. */
export async function checkExport(
  bytes: Uint8Array,
  model: OnnxModel,
  network: Network,
): Promise<ExportCheck> {
  using backend = await openOnnx(bytes, model);
  const observations = plausibleObservations(network, SAMPLES);
  const actions = new Float32Array(SAMPLES * network.actionSize);
  const { observationSize, actionSize } = network;
  if (recurrentLayer(network) === undefined) {
    await backend.infer(observations, actions, backend.createState(), SAMPLES);
  }
  // One at a time: a dynamic graph goes another way, and a recurrent one remembers.
  const state = backend.createState();
  for (let row = 0; row < SAMPLES; row++) {
    if (recurrentLayer(network) === undefined && row > 0) break;
    const observation = observations.subarray(row * observationSize, (row + 1) * observationSize);
    const action = actions.subarray(row * actionSize, (row + 1) * actionSize);
    await backend.infer(observation, action, state, 1);
  }
  const max = largestDifference(network, observations, actions);
  if (!(max <= TOLERANCE)) {
    throw new Lite3Error(
      "CHECK_FAILED",
      `The exported file acts otherwise than the checkpoint: the largest difference is ${max}, ` +
        `at most ${TOLERANCE} is allowed; nothing was written, please report this checkpoint`,
    );
  }
  return { max, samples: SAMPLES };
}

/** Standard normal in the space behind the normalizer, if the network has one. */
function plausibleObservations(network: Network, samples: number): Float32Array {
  const random = createRandom(SEED);
  const [first] = network.layers;
  const width = network.observationSize;
  return Float32Array.from({ length: samples * width }, (_, i) => {
    const value = random.normal();
    if (first?.kind !== "normalize") return value;
    const column = i % width;
    return present(first.mean[column]) + value * present(first.divisor[column]);
  });
}

function largestDifference(
  network: Network,
  observations: Float32Array,
  actions: Float32Array,
): number {
  const { observationSize, actionSize } = network;
  const state = createNetworkState(network);
  let max = 0;
  for (let row = 0; row * actionSize < actions.length; row++) {
    const from = row * observationSize;
    const expected = evaluate(network, observations.subarray(from, from + observationSize), state);
    const scale = expected.reduce((size, value) => Math.max(size, Math.abs(value)), 1);
    expected.forEach((value, i) => {
      const difference = Math.abs(value - present(actions[row * actionSize + i])) / scale;
      // NaN must not hide behind a comparison that is false.
      max = Number.isNaN(difference) ? Infinity : Math.max(max, difference);
    });
  }
  return max;
}
