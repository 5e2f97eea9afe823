/**
 * The monotonic clock that two processes may compare, and waiting for a point on it.
 */

import { libc } from "./libc.ts";

const CLOCK_MONOTONIC = 1;
const TIMER_ABSTIME = 1;
/** The last part of a wait is spun: a sleep ends up to some 0.3 ms late, a spin some µs. */
const SPIN_US = 1500;

const timespec = new BigInt64Array(2);
/** The same as numbers: seconds in two words, nanoseconds in one; reading them allocates nothing. */
const words = new Uint32Array(timespec.buffer);

/** CLOCK_MONOTONIC in microseconds. */
export function monotonicUs(): number {
  libc.clock_gettime(CLOCK_MONOTONIC, timespec);
  const seconds = (words[1] as number) * 2 ** 32 + (words[0] as number);
  return seconds * 1e6 + (words[2] as number) / 1e3;
}

/**
 * Blocks until `deadlineUs` on the monotonic clock: sleeps, then spins. A signal ends the sleep
 * early but not the wait.
 */
export function waitUntilUs(deadlineUs: number): void {
  const wake = deadlineUs - SPIN_US;
  if (monotonicUs() < wake) {
    const seconds = Math.floor(wake / 1e6);
    timespec[0] = BigInt(seconds);
    timespec[1] = BigInt(Math.floor((wake - seconds * 1e6) * 1e3));
    libc.clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, timespec, null);
  }
  while (monotonicUs() < deadlineUs);
}
