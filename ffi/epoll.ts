/**
 * epoll for the serving loop: one set, its event records preallocated.
 */

import { ERRNO, checkCall, errno, libc } from "./libc.ts";

/** sys/epoll.h */
export const EPOLL = { IN: 1, OUT: 4, ERR: 8, HUP: 16 } as const;
const CLOEXEC = 0o2000000;
const CTL = { ADD: 1, DEL: 2, MOD: 3 } as const;

// struct epoll_event { u32 events; u64 data } is packed on x86_64 (12 bytes, data at 4) and has 16
// bytes with data at 8 elsewhere. Counted in 32-bit words:
const WORDS = process.arch === "x64" ? 3 : 4;
const DATA = process.arch === "x64" ? 1 : 2;

export class Epoll implements Disposable {
  readonly #fd = checkCall("epoll_create1", libc.epoll_create1(CLOEXEC));
  readonly #capacity: number;
  readonly #events: Int32Array;
  readonly #one = new Int32Array(WORDS);

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#events = new Int32Array(WORDS * capacity);
  }

  add(fd: number, events: number): void {
    this.#control(CTL.ADD, fd, events);
  }

  modify(fd: number, events: number): void {
    this.#control(CTL.MOD, fd, events);
  }

  /** Needed before close(2): a duplicate elsewhere would keep the registration alive. */
  remove(fd: number): void {
    this.#control(CTL.DEL, fd, 0);
  }

  /** Blocks up to `timeoutMs`; returns how many events there are, 0 also when interrupted. */
  wait(timeoutMs: number): number {
    const count = libc.epoll_wait(this.#fd, this.#events, this.#capacity, timeoutMs);
    if (count < 0 && errno() === ERRNO.EINTR) return 0;
    return checkCall("epoll_wait", count);
  }

  fdAt(index: number): number {
    return this.#events[index * WORDS + DATA] as number;
  }

  eventsAt(index: number): number {
    return this.#events[index * WORDS] as number;
  }

  [Symbol.dispose](): void {
    libc.close(this.#fd);
  }

  #control(operation: number, fd: number, events: number): void {
    this.#one[0] = events;
    this.#one[DATA] = fd;
    checkCall("epoll_ctl", libc.epoll_ctl(this.#fd, operation, fd, this.#one));
  }
}
