/**
 * One turn of Bun's event loop. Loops that block in system calls, or that only await results which
 * are ready, need it now and then: no signal handler and no timer runs otherwise. A timer of zero
 * would cost a millisecond, an immediate costs some microseconds.
 */
export function turnEventLoop(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
