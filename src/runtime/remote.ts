/**
 * A policy service as a backend, over the framed protocol where it speaks that, else over raw
 * bytes. What computes behind it is known by its own word only; raw bytes do not say it, so their
 * evidence is `unstated`.
 *
 * A service keeps the state of a recurrent policy per connection: each state here is a connection
 * of its own. A framed service that says that it has none is asked on one connection.
 */

import type { SocketAddress } from "../../ffi/socket.ts";
import { assert } from "../base/assert.ts";
import { Lite3Error } from "../base/errors.ts";
import { warn } from "../base/log.ts";
import { RawClient } from "../wire/client.ts";
import { connectService, type ServiceNeeds } from "../wire/connect_service.ts";
import { describeAddress } from "../wire/endpoint.ts";
import { FramedClient } from "../wire/framed_client.ts";
import { type About, STATUS } from "../wire/protocol.ts";
import { ARITHMETICS, type Backend, type PolicyState, tensorSpec } from "./backend.ts";

export interface RemoteOptions extends ServiceNeeds {
  /** Refuse actions of another model than the hello's, for figures that are about that one. */
  readonly oneModel?: boolean;
}

export interface RemoteBackend extends Backend {
  /** What the service says of itself; raw bytes say nothing. */
  readonly about: About | undefined;
}

/** Connects, and makes sure that the service has the sizes that are needed. */
export function openRemote(address: SocketAddress, options: RemoteOptions): RemoteBackend {
  const client = connectService(address, options);
  if (client instanceof FramedClient) return framedRemote(address, client, options);
  const { observationSize = 0, actionSize = 0 } = options;
  return rawRemote(address, { ...options, observationSize, actionSize }, client);
}

interface RawOptions {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly timeoutMs: number;
}

/** A service that is asked in raw bytes, and is known to have these sizes. */
export function rawRemote(
  address: SocketAddress,
  { timeoutMs, observationSize: from, actionSize: to }: RawOptions,
  first: RawClient = new RawClient(address, timeoutMs),
): RemoteBackend {
  const connections = connectionPerState(first, () => new RawClient(address, timeoutMs));
  return {
    ...describe(address, from, to, connections),
    arithmetic: "unstated",
    about: undefined,
    infer(observation, action, state, rows) {
      checkLengths(observation, from, action, to, rows);
      const client = connections.of(state);
      for (let row = 0; row < rows; row++) {
        client.infer(part(observation, row, 1, from), part(action, row, 1, to));
      }
    },
    [Symbol.dispose]: () => connections[Symbol.dispose](),
  };
}

function framedRemote(
  address: SocketAddress,
  first: FramedClient,
  { timeoutMs, oneModel = false }: RemoteOptions,
): RemoteBackend {
  const { observationSize: from, actionSize: to, isRecurrent, about } = first.hello;
  const check = checkAnswers(address, about.generation, oneModel);
  const connections = connectionPerState(first, () =>
    isRecurrent ? new FramedClient(address, timeoutMs) : first,
  );
  return {
    ...describe(address, from, to, connections),
    arithmetic: ARITHMETICS.find((one) => one === about.evidence) ?? "unstated",
    about,
    infer(observation, action, state, rows) {
      checkLengths(observation, from, action, to, rows);
      const client = connections.of(state);
      for (let row = 0; row < rows; row += client.rowsMax) {
        const count = Math.min(client.rowsMax, rows - row);
        client.infer(part(observation, row, count, from), part(action, row, count, to));
        check(client);
      }
    },
    [Symbol.dispose]: () => connections[Symbol.dispose](),
  };
}

/** `count` rows of `width` numbers; all of the array as it is, which allocates nothing. */
function part(values: Float32Array, row: number, count: number, width: number): Float32Array {
  if (values.length === count * width) return values;
  return values.subarray(row * width, (row + count) * width);
}

function describe(
  address: SocketAddress,
  observationSize: number,
  actionSize: number,
  connections: Pick<Connections<Disposable>, "release">,
) {
  const name = describeAddress(address);
  return {
    name: "remote",
    subject: "file",
    inputs: Object.freeze([tensorSpec(name, [1, observationSize])]),
    outputs: Object.freeze([tensorSpec(name, [1, actionSize])]),
    observationSize,
    actionSize,
    createState: (): PolicyState => {
      const state = { tensors: [], [Symbol.dispose]: () => connections.release(state) };
      return state;
    },
  } as const;
}

function checkLengths(
  observation: Float32Array,
  from: number,
  action: Float32Array,
  to: number,
  rows: number,
): void {
  assert(observation.length === rows * from, "observation length");
  assert(action.length === rows * to, "action length");
}

interface Connections<Client> extends Disposable {
  /** The connection of this state; opened when it is first asked for. */
  of(state: PolicyState): Client;
  /** Closes it, unless it is the one that stays for as long as the backend. */
  release(state: PolicyState): void;
}

function connectionPerState<Client extends Disposable>(
  first: Client,
  connect: () => Client,
): Connections<Client> {
  const all = new Set([first]);
  const known = new WeakMap<PolicyState, Client>();
  let spare: Client | undefined = first;
  let open = true;
  return {
    of(state) {
      assert(open, "the backend is closed");
      const mine = known.get(state) ?? spare ?? connect();
      if (!known.has(state)) {
        spare = undefined;
        all.add(mine);
        known.set(state, mine);
      }
      return mine;
    },
    release(state) {
      const mine = known.get(state);
      if (mine === undefined || mine === first) return;
      all.delete(mine);
      mine[Symbol.dispose]();
    },
    [Symbol.dispose]() {
      open = false;
      for (const client of all) client[Symbol.dispose]();
    },
  };
}

/**
 * Looks at how each answer came about: says once that the fallback answered, or that a guard
 * changed an action, and refuses what is not of the model `oneModel` is about.
 */
function checkAnswers(address: SocketAddress, generation: number, oneModel: boolean) {
  const name = describeAddress(address);
  const said = new Set<number>();
  return ({ answer }: FramedClient): void => {
    const { status } = answer;
    if (oneModel && (status === STATUS.fallback || answer.generation !== generation)) {
      const found = status === STATUS.fallback ? "its fallback answered" : "it loaded another";
      throw new Lite3Error(
        "CHECK_FAILED",
        `Cannot go on with the model of the service at ${name}: ${found}, start again`,
      );
    }
    if (status === STATUS.ok || said.has(status)) return;
    said.add(status);
    const isFallback = status === STATUS.fallback;
    warn(
      isFallback
        ? `the service at ${name} answers by its fallback on the CPU`
        : `the service at ${name} limited an action, or finds the observation unusual`,
    );
  };
}
