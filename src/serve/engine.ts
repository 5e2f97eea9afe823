/**
 * The data path: one blocking loop of `epoll_wait → recv → infer → send`. Between waits it gives
 * Bun's event loop a turn, because no signal handler runs while a system call blocks.
 */

import { EPOLL, Epoll } from "../../ffi/epoll.ts";
import { acceptFrom, EXHAUSTED, WOULD_BLOCK } from "../../ffi/socket.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { LIMITS } from "../base/limits.ts";
import { notice, warn } from "../base/log.ts";
import type { Policy } from "../runtime/policy.ts";
import { Connection, type Flow } from "./connection.ts";
import type { Listener } from "./listener.ts";

/** Longest wait for an event, and longest time without a turn of Bun's event loop. */
const TURN_MS = 100;
/** How long clients may take to read their last answers once the service stops. */
const DRAIN_MS = 500;
const EVENTS = 64;

export interface EngineCounters {
  connections: number;
  answered: number;
  /** Connections ended because an observation or an action was not valid. */
  refused: number;
  /** Clients that left in the middle of an observation. */
  partial: number;
}

/** Serves until `stop.requested`, then sends what is queued and closes every connection. */
export async function runEngine(
  listeners: readonly Listener[],
  policy: Policy,
  stop: { readonly requested: boolean },
): Promise<EngineCounters> {
  using engine = new Engine(listeners, policy);
  let turned = performance.now();
  while (!stop.requested) {
    const count = await engine.turn(TURN_MS);
    if (count === 0 || performance.now() - turned > TURN_MS) {
      await turnEventLoop();
      turned = performance.now();
    }
  }
  await engine.drain(DRAIN_MS);
  return engine.counters;
}

class Engine implements Disposable {
  readonly counters: EngineCounters = { connections: 0, answered: 0, refused: 0, partial: 0 };
  readonly #epoll = new Epoll(EVENTS);
  readonly #listeners: readonly Listener[];
  readonly #policy: Policy;
  /** By file descriptor: the kernel gives the lowest free one, so this stays short. */
  readonly #connections: (Connection | undefined)[] = [];
  #open = 0;
  #accepting = false;
  /** How many clients there were when there was no room for another. */
  #fullAt = 0;

  constructor(listeners: readonly Listener[], policy: Policy) {
    this.#listeners = listeners;
    this.#policy = policy;
    this.#resumeAccepting();
  }

  /** Handles what happens within `timeoutMs`; returns how many events there were. */
  async turn(timeoutMs: number): Promise<number> {
    const count = this.#epoll.wait(timeoutMs);
    const before = this.#open;
    for (let i = 0; i < count; i++) {
      const fd = this.#epoll.fdAt(i);
      const connection = this.#connections[fd];
      if (connection === undefined) this.#accept(fd);
      else if (connection.isBlocked) this.#settle(connection, connection.flush(), true);
      else this.#settle(connection, await connection.serve(), false);
    }
    if (this.#open < before || count === 0) this.#resumeAccepting();
    return count;
  }

  /** Stops accepting and reading; sends queued answers for at most `withinMs`. */
  async drain(withinMs: number): Promise<void> {
    this.#stopAccepting();
    const deadline = performance.now() + withinMs;
    for (const connection of this.#connections) {
      if (connection !== undefined && connection.flush() !== "blocked") this.#drop(connection);
    }
    while (this.#open > 0 && performance.now() < deadline) {
      const count = this.#epoll.wait(10);
      for (let i = 0; i < count; i++) {
        const connection = this.#connections[this.#epoll.fdAt(i)];
        if (connection !== undefined && connection.flush() !== "blocked") this.#drop(connection);
      }
    }
    for (const connection of this.#connections)
      if (connection !== undefined) this.#drop(connection);
  }

  [Symbol.dispose](): void {
    for (const connection of this.#connections)
      if (connection !== undefined) this.#drop(connection);
    this.#epoll[Symbol.dispose]();
  }

  #accept(listenerFd: number): void {
    const listener = this.#listeners.find(({ fd }) => fd === listenerFd);
    if (listener === undefined) return;
    while (this.#open < LIMITS.connections) {
      const fd = acceptFrom(listenerFd, listener.address.kind === "tcp");
      if (fd === WOULD_BLOCK) return;
      if (fd === EXHAUSTED) break;
      this.#connections[fd] = new Connection(fd, this.#policy);
      this.#epoll.add(fd, EPOLL.IN);
      this.#open++;
      this.counters.connections++;
    }
    if (this.#open !== this.#fullAt) {
      warn(`${this.#open} clients are connected, the next wait until one leaves`);
    }
    this.#fullAt = this.#open;
    this.#stopAccepting();
  }

  /** Listens for clients again, if there is room for one. */
  #resumeAccepting(): void {
    if (this.#accepting || this.#open >= LIMITS.connections) return;
    for (const { fd } of this.#listeners) this.#epoll.add(fd, EPOLL.IN);
    this.#accepting = true;
  }

  #stopAccepting(): void {
    if (!this.#accepting) return;
    for (const { fd } of this.#listeners) this.#epoll.remove(fd);
    this.#accepting = false;
  }

  /** Watches for what the connection waits for next, or ends it. */
  #settle(connection: Connection, flow: Flow, wasBlocked: boolean): void {
    if (flow === "closed") this.#drop(connection);
    else if (flow === "blocked" && !wasBlocked) this.#epoll.modify(connection.fd, EPOLL.OUT);
    else if (flow === "idle" && wasBlocked) this.#epoll.modify(connection.fd, EPOLL.IN);
  }

  #drop(connection: Connection): void {
    this.#connections[connection.fd] = undefined;
    this.#open--;
    this.#epoll.remove(connection.fd);
    connection.close();
    this.counters.answered += connection.answered;
    if (connection.ending !== undefined) {
      this.counters.refused++;
      notice(`closed a connection: ${connection.ending.message}`);
    } else if (connection.isPartial) {
      this.counters.partial++;
      notice("a client left in the middle of an observation");
    }
  }
}
