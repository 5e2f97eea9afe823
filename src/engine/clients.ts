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
import { TurnedAway } from "./turned_away.ts";

/** So many ended connections, some 20 kB each, are collected though requests keep coming. */
const ENDED_MAX = 64;
/** Clients that are let in at one turn of the loop: those who are in wait no longer for a crowd. */
const ACCEPTS_MAX = 8;
/** Not more often than this: a crowd that leaves at once is collected at once. */
const COLLECT_US = 1_000_000;

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
  readonly #turnedAway: TurnedAway;
  /** Where somebody asks to be let in. */
  readonly #asked = new Set<Listener>();
  /** Turns of the loop since a client was last let in. */
  #turns = 0;
  #open = 0;
  /** Connections that ended and whose memory has not been collected. */
  #ended = 0;
  #collectedUs = 0;
  #isAccepting = false;
  /** There was no file descriptor left for another. */
  #isExhausted = false;

  constructor(epoll: Epoll, service: Service, admission: Admission, events: Events) {
    this.#epoll = epoll;
    this.#service = service;
    this.#admission = admission;
    this.#events = events;
    this.#turnedAway = new TurnedAway(
      admission.maxClients,
      (fd) => epoll.remove(fd),
      () => this.#add(COUNTER.busy),
    );
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
    this.#turnedAway.closeAll();
    for (const { fd } of this.#listeners) closeSocket(fd);
    this.#asked.clear();
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

  /** What there is time for when nobody asks. */
  rest(nowUs: number): void {
    this.#turnedAway.expire(nowUs);
    // Whatever accepting lacked may be there again.
    this.retryAccepting();
  }

  /**
   * Collects the memory of connections that ended. It is old by then, and in a loop that makes no
   * garbage Bun has no reason to look at what is old. Takes some ms: done when nobody asks, and
   * under a load without a pause once there is enough of it.
   */
  collect(isIdle: boolean): void {
    if (this.#ended <= (isIdle ? 0 : ENDED_MAX)) return;
    const nowUs = monotonicUs();
    if (nowUs - this.#collectedUs < COLLECT_US) return;
    this.#ended = 0;
    this.#collectedUs = nowUs;
    Bun.gc(true);
  }

  /** Handles what happened on a descriptor; nothing for one that is not a client's. */
  handle(fd: number, events: number): void | Promise<void> {
    const connection = this.#connections[fd];
    if (connection === undefined) {
      if (this.#turnedAway.handle(fd)) return;
      const listener = this.#listeners.find((known) => known.fd === fd);
      if (listener !== undefined) this.#asked.add(listener);
      return;
    }
    const wasBlocked = connection.flow === "blocked";
    if (wasBlocked && (events & ~EPOLL.IN) === 0) return;
    const waiting = wasBlocked ? connection.resume() : connection.read();
    if (waiting !== undefined) return waiting.then(() => this.#settle(connection, wasBlocked));
    this.#settle(connection, wasBlocked);
  }

  /**
   * Lets in who asked, once all others have had their turn.
   * @param eventsMax of one turn
   * @param isAll the turn was for all that had happened
   */
  admit(eventsMax: number, isAll: boolean): void {
    this.#turns++;
    if (this.#asked.size === 0) return;
    // Who left makes room, and is only known of after a turn.
    const isRound = isAll || this.#turns > this.#open / eventsMax + 1;
    for (const listener of this.#asked) this.#accept(listener, isRound);
    this.#asked.clear();
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
    this.#ended++;
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

  #accept({ fd: listener, kind }: Listener, isRound: boolean): void {
    for (let count = 0; count < ACCEPTS_MAX; count++) {
      const isFull = this.#open >= this.#admission.maxClients;
      if (isFull && !(isRound && this.#turns > 0)) return;
      const fd = acceptFrom(listener, kind === "tcp");
      if (fd === WOULD_BLOCK) return;
      if (fd === EXHAUSTED) {
        const message = `${this.#open} clients are connected, the next wait until one leaves`;
        this.#report("warn", "exhausted", message);
        this.stopAccepting();
        this.#isExhausted = true;
        return;
      }
      if (!this.#isAllowed(fd, kind)) {
        closeSocket(fd);
      } else if (isFull) {
        this.#turnAway(fd);
      } else {
        this.#turns = 0;
        this.#add(COUNTER.connections);
        this.adopt(fd, kind);
      }
    }
  }

  #turnAway(fd: number): void {
    this.#add(COUNTER.connectionsRefused);
    const reason = `${this.#open} are connected, --max-clients allows no more`;
    this.#report("warn", "connection-refused", `refused a client: ${reason}`);
    this.#epoll.add(fd, EPOLL.IN);
    this.#turnedAway.add(fd, reason, monotonicUs());
  }

  #isAllowed(fd: number, kind: ListenerKind): boolean {
    const { allowUids, allowGids } = this.#admission;
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
