/**
 * What happens to an observation before the network: its bytes are taken out of a connection's
 * buffer, as the service's framer does it, and normalised. Measured on this machine's CPU, one
 * observation at a time.
 */

import { turnEventLoop } from "../base/event_loop.ts";
import { assert } from "../base/assert.ts";
import { generateObservations } from "../dataset/generate_observations.ts";
import { checkSoc } from "../doctor/board.ts";
import { openTree } from "../doctor/tree.ts";
import type { Measured } from "../report/accept_document.ts";
import type { Policy } from "../runtime/policy.ts";
import { RequestFramer } from "../wire/framer.ts";
import { ROWS_MAX } from "../wire/protocol.ts";
import { spreadOf } from "./spread.ts";

const QUERIES = 20_000;
const WARM_UP = 1_000;
const QUERIES_PER_TURN = 1_000;
const OBSERVATIONS = 256;

export async function measurePreprocessing(
  { observationSize, normalizer }: Pick<Policy, "observationSize" | "normalizer">,
  seed: number,
): Promise<Measured["preprocessing"]> {
  const rows = new Float32Array(ROWS_MAX * observationSize);
  const framer = new RequestFramer(rows);
  const { data } = generateObservations(OBSERVATIONS, observationSize, seed, undefined);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const frameBytes = observationSize * 4;
  const normalised = new Float32Array(observationSize);
  const row = rows.subarray(0, observationSize);
  const tookUs: number[] = [];
  for (let query = -WARM_UP; query < QUERIES; query++) {
    const from = ((query + WARM_UP) % OBSERVATIONS) * frameBytes;
    const frame = bytes.subarray(from, from + frameBytes);
    const started = Bun.nanoseconds();
    framer.buffer.set(frame, framer.filled);
    framer.received(frameBytes);
    const taken = framer.next();
    normalised.set(row);
    normalizer?.apply(normalised);
    const us = (Bun.nanoseconds() - started) / 1000;
    assert(taken === "frame", "a raw observation is a request");
    if (query >= 0) tookUs.push(us);
    // The framer says "nothing" once all is taken, and makes room again.
    framer.next();
    if (query % QUERIES_PER_TURN === 0) await turnEventLoop();
  }
  const { state, found } = checkSoc(openTree("/"));
  return {
    state: "measured",
    steps: [
      `${frameBytes} bytes out of the connection's buffer`,
      normalizer === undefined ? "no normalizer: it is in the model" : "(obs-mean)/max(std,1e-3)",
    ],
    queries: tookUs.length,
    us: spreadOf(tookUs.toSorted((a, b) => a - b)),
    soc: { state, found },
  };
}
