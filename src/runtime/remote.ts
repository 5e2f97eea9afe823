/**
 * A policy service as a backend: the raw protocol over a socket. What computes behind it is not
 * said by raw bytes, so its evidence is `unstated`.
 *
 * A service keeps the state of a recurrent policy per connection, and raw bytes cannot reset it:
 * each state here is a connection of its own.
 */

import type { SocketAddress } from "../../ffi/socket.ts";
import { assert } from "../base/assert.ts";
import { describeAddress } from "../wire/endpoint.ts";
import { probeService, RawClient } from "../wire/client.ts";
import { type Backend, type PolicyState, tensorSpec } from "./backend.ts";

export interface RemoteOptions {
  readonly observationSize: number;
  readonly actionSize: number;
  /** Longest wait for one answer. */
  readonly timeoutMs: number;
}

/** Connects, and makes sure that the service has these sizes: raw bytes do not carry them. */
export function openRemote(address: SocketAddress, options: RemoteOptions): Backend {
  const { observationSize, actionSize, timeoutMs } = options;
  probeService(address, options);
  const clients = [new RawClient(address, timeoutMs)];
  let spare = clients[0];
  const connections = new WeakMap<PolicyState, RawClient>();
  const clientFor = (state: PolicyState): RawClient => {
    const known = connections.get(state);
    if (known !== undefined) return known;
    const client = spare ?? new RawClient(address, timeoutMs);
    if (client !== spare) clients.push(client);
    spare = undefined;
    connections.set(state, client);
    return client;
  };
  const name = describeAddress(address);
  let open = true;
  return {
    name: "remote",
    arithmetic: "unstated",
    subject: "file",
    inputs: Object.freeze([tensorSpec(name, [1, observationSize])]),
    outputs: Object.freeze([tensorSpec(name, [1, actionSize])]),
    observationSize,
    actionSize,
    createState: () => ({ tensors: [] }),
    infer(observation, action, state, rows) {
      assert(open, "the backend is closed");
      assert(observation.length === rows * observationSize, "observation length");
      assert(action.length === rows * actionSize, "action length");
      const client = clientFor(state);
      for (let row = 0; row < rows; row++) {
        client.infer(
          observation.subarray(row * observationSize, (row + 1) * observationSize),
          action.subarray(row * actionSize, (row + 1) * actionSize),
        );
      }
    },
    [Symbol.dispose]() {
      open = false;
      for (const client of clients) client[Symbol.dispose]();
    },
  };
}
