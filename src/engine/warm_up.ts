/**
 * The first requests, before anybody else's: through a socket pair of the engine's own, so that
 * the whole path has run when the first client comes.
 */

import { quantileSorted } from "simple-statistics";
import { monotonicUs } from "../../ffi/clock.ts";
import { CLOSED, closeSocket, receive, send, socketPair } from "../../ffi/socket.ts";
import { Lite3Error } from "../base/errors.ts";
import type { Policy } from "../runtime/policy.ts";
import type { OpenCommand, ReadyEvent } from "../service/control.ts";

/**
 * @param command how many, and observations to try before
 * @param adopt gives the engine its end of the pair
 * @param turn one turn of the engine's loop
 * @throws what the policy throws, for the mean observation or zeroes
 */
export async function warmUp(
  policy: Policy,
  command: Pick<OpenCommand, "warmup" | "probe">,
  adopt: (fd: number) => void,
  turn: () => void | Promise<void>,
): Promise<ReadyEvent["warmup"]> {
  const { warmup: count, probe = [] } = command;
  const action = new Float32Array(policy.actionSize);
  // Of another width they are another policy's, which the supervisor tells by its own means.
  for (const values of probe.filter(({ length }) => length === policy.observationSize)) {
    await policy.act(Float32Array.from(values), action, policy.backend.createState());
  }
  if (count === 0) return { count, p50Us: 0, maxUs: 0 };
  const observation = new Float32Array(policy.observationSize);
  if (policy.normalizer !== undefined) observation.set(policy.normalizer.mean);
  const request = new Uint8Array(observation.buffer);
  const answer = new Uint8Array(policy.actionSize * 4);
  // What is wrong with the model is best said by the model.
  await policy.act(observation, action, policy.backend.createState());
  const [ours, theirs] = socketPair();
  const timesUs: number[] = [];
  try {
    adopt(theirs);
    for (let i = 0; i < count; i++) {
      const startedUs = monotonicUs();
      let [sent, received] = [0, 0];
      while (received < answer.length) {
        const moved =
          sent < request.length ? send(ours, request.subarray(sent), request.length - sent) : 0;
        sent += Math.max(0, moved);
        await turn();
        const came = receive(ours, answer.subarray(received));
        if (came === CLOSED) throw new Lite3Error("NATIVE", "Cannot warm up: the model failed");
        received += Math.max(0, came);
      }
      timesUs.push(monotonicUs() - startedUs);
    }
  } finally {
    closeSocket(ours);
    await turn();
  }
  const sorted = timesUs.sort((a, b) => a - b);
  return { count, p50Us: quantileSorted(sorted, 0.5), maxUs: sorted.at(-1) ?? 0 };
}
