/**
 * The listeners and connections of an engine, and which of them the kernel wakes it for.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { EPOLL, type Epoll } from "../../ffi/epoll.ts";
import {
  acceptFrom,
  closeSocket,
  EXHAUSTED,
  peerCredentials,
  WOULD_BLOCK,
} from "../../ffi/socket.ts";
import type { ListenerKind, OpenCommand } from "../service/control.ts";
import { COUNTER, WORD } from "../service/page.ts";
import { Connection, type SavedConnection, type Service } from "./connection.ts";
import type { Events } from "./events.ts";

interface Listener {
  readonly fd: number;
  readonly kind: ListenerKind;
}

type Admission = Pick<OpenCommand, "maxClients" | "allowUids" | "allowGids">;

export class Clients {
  readonly #epoll: Epoll;
  readonly #service: Service;
  readonly #admission: Admission;
  readonly #events: Events;
  #listeners: readonly Listener[] = [];
  /** By file descriptor: the kernel gives the lowest free one, so this stays short. */
  readonly #connections: (Connection | undefined)[] = [];
  #open = 0;
  #isAccepting = false;
  /** There was no file descriptor left for another. */
  #isExhausted = false;

  constructor(epoll: Epoll, service: Service, admission: Admission, events: Events) {
    this.#epoll = epoll;
    this.#service = service;
    this.#admission = admission;
    this.#events = events;
  }

  get open(): number {
    return this.#open;
  }

  /** All connections; those that are dropped meanwhile are not missed. */
  *all(): Generator<Connection> {
    for (const connection of this.#connections) if (connection !== undefined) yield connection;
  }

  listen(listeners: readonly Listener[]): void {
    this.#listeners = [...this.#listeners, ...listeners];
    if (this.#isAccepting) for (const { fd } of listeners) this.#epoll.add(fd, EPOLL.IN);
    else this.startAccepting();
  }

  /** Lets go of the listeners: another engine has them as well. */
  stopListening(): void {
    this.stopAccepting();
    for (const { fd } of this.#listeners) closeSocket(fd);
    this.#listeners = [];
  }

  startAccepting(): void {
    if (this.#isAccepting) return;
    for (const { fd } of this.#listeners) this.#epoll.add(fd, EPOLL.IN);
    this.#isAccepting = true;
    this.#isExhausted = false;
  }

  stopAccepting(): void {
    if (this.#isAccepting) for (const { fd } of this.#listeners) this.#epoll.remove(fd);
    this.#isAccepting = false;
    this.#isExhausted = false;
  }

  /** Accepts again, if that was given up for want of file descriptors. */
  retryAccepting(): void {
    if (this.#isExhausted) this.startAccepting();
  }

  /** Handles what happened on a descriptor; nothing for one that is not a client's. */
  handle(fd: number, events: number): void | Promise<void> {
    const connection = this.#connections[fd];
    if (connection === undefined) {
      const listener = this.#listeners.find((known) => known.fd === fd);
      if (listener !== undefined) this.#accept(listener);
      return;
    }
    const wasBlocked = connection.flow === "blocked";
    if (wasBlocked && (events & ~EPOLL.IN) === 0) return;
    const waiting = wasBlocked ? connection.resume() : connection.read();
    if (waiting !== undefined) return waiting.then(() => this.#settle(connection, wasBlocked));
    this.#settle(connection, wasBlocked);
  }

  adopt(fd: number, kind: ListenerKind, saved?: SavedConnection): Connection {
    const connection = new Connection(fd, kind, this.#service, saved);
    this.#connections[fd] = connection;
    this.#epoll.add(fd, EPOLL.IN);
    this.#count(1);
    return connection;
  }

  /** Goes on with a connection that another engine had. */
  takeOver(fd: number, saved: SavedConnection): void | Promise<void> {
    const connection = this.adopt(fd, saved.kind, saved);
    const waiting = connection.resume();
    if (waiting !== undefined) return waiting.then(() => this.#settle(connection, false));
    this.#settle(connection, false);
  }

  /** Ends a connection, with no word about why. */
  drop(connection: Connection): void {
    this.#connections[connection.fd] = undefined;
    this.#epoll.remove(connection.fd);
    connection.close();
    this.#count(-1);
    this.retryAccepting();
  }

  /** Watches for what the connection waits for next, or ends it. */
  #settle(connection: Connection, wasBlocked: boolean): void {
    const { flow } = connection;
    if (flow === "closed") this.#end(connection);
    else if (flow === "blocked" && !wasBlocked) this.#epoll.modify(connection.fd, EPOLL.OUT);
    else if (flow === "idle" && wasBlocked) this.#epoll.modify(connection.fd, EPOLL.IN);
  }

  #end(connection: Connection): void {
    this.drop(connection);
    const { ending } = connection;
    if (ending !== undefined) {
      this.#report("info", "connection-closed", `closed a connection: ${ending}`);
    } else if (connection.isPartial) {
      this.#add(COUNTER.partialFrames);
      this.#report("info", "partial-frame", "a client left in the middle of a request");
    }
  }

  #accept({ fd: listener, kind }: Listener): void {
    for (;;) {
      const fd = acceptFrom(listener, kind === "tcp");
      if (fd === WOULD_BLOCK) return;
      if (fd === EXHAUSTED) {
        const message = `${this.#open} clients are connected, the next wait until one leaves`;
        this.#report("warn", "exhausted", message);
        this.stopAccepting();
        this.#isExhausted = true;
        return;
      }
      if (this.#isAdmitted(fd, kind)) {
        this.#add(COUNTER.connections);
        this.adopt(fd, kind);
      } else {
        closeSocket(fd);
      }
    }
  }

  #isAdmitted(fd: number, kind: ListenerKind): boolean {
    const { maxClients, allowUids, allowGids } = this.#admission;
    if (this.#open >= maxClients) {
      this.#add(COUNTER.connectionsRefused);
      const message = `refused a client: ${this.#open} are connected, --max-clients allows no more`;
      this.#report("warn", "connection-refused", message);
      return false;
    }
    if (kind !== "unix" || (allowUids === undefined && allowGids === undefined)) return true;
    const { uid, gids } = peerCredentials(fd);
    if (allowUids?.includes(uid) === true) return true;
    if (allowGids !== undefined && gids.some((gid) => allowGids.includes(gid))) return true;
    this.#add(COUNTER.credentialsRefused);
    const message = `refused a client: user ${uid}, group ${gids[0]} is not allowed`;
    this.#report("warn", "credentials-refused", `${message}, see --allow-uid and --allow-gid`);
    return false;
  }

  #report(level: "warn" | "info", name: string, message: string): void {
    this.#events.report(level, name, message, monotonicUs());
  }

  #add(counter: number): void {
    (this.#service.page.counters[counter] as number)++;
  }

  #count(change: number): void {
    this.#open += change;
    this.#service.page.words[WORD.openConnections] = this.#open;
  }
}
