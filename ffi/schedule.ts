/**
 * What a real-time loop asks of Linux: a CPU of its own, a priority over other programs, and memory
 * that is never paged out. All of it wants a permission; who lacks it is told which.
 */

import { getSystemErrorName } from "node:util";
import { Lite3Error } from "../src/base/errors.ts";
import { errno, ERRNO, errnoText, libc } from "./libc.ts";

/** sched.h; threads and processes that are made later do not inherit the priority. */
const SCHED_FIFO = 1;
const SCHED_RESET_ON_FORK = 0x40000000;
/** sys/mman.h; ON_FAULT, since JavaScript reserves far more memory than it uses. */
const MCL = { CURRENT: 1, FUTURE: 2, ON_FAULT: 4 } as const;
/** sched.h: CPU_SETSIZE */
const CPUS_MAX = 1024;

/** The calling thread runs on this CPU alone. */
export function pinToCpu(cpu: number): void {
  const mask = new Uint8Array(CPUS_MAX / 8);
  if (cpu < CPUS_MAX) mask[cpu >> 3] = 1 << (cpu & 7);
  const result = libc.sched_setaffinity(0, mask.length, mask);
  check(result, `pin to CPU ${cpu}`, "need one of this machine's that it may use; see --cpu");
}

/** The calling thread goes before all others of the system, but those of a higher priority. */
export function useFifo(priority: number): void {
  const result = libc.sched_setscheduler(
    0,
    SCHED_FIFO | SCHED_RESET_ON_FORK,
    Int32Array.of(priority),
  );
  check(
    result,
    `run with --fifo ${priority}`,
    `need CAP_SYS_NICE or a real-time limit (ulimit -r ${priority}, LimitRTPRIO=${priority})`,
  );
}

/** Memory that this process touches stays in memory. */
export function lockMemory(): void {
  const result = libc.mlockall(MCL.CURRENT | MCL.FUTURE | MCL.ON_FAULT);
  check(
    result,
    "lock memory with --mlock",
    "need CAP_IPC_LOCK or a limit (ulimit -l unlimited, LimitMEMLOCK=infinity)",
  );
}

function check(result: number, action: string, need: string): void {
  if (result === 0) return;
  const code = errno();
  // ENOMEM is mlockall's word for a limit that is too low.
  const isLimit = code === ERRNO.EPERM || code === ERRNO.ENOMEM;
  const refused = isLimit ? `not permitted (${getSystemErrorName(-code)})` : errnoText(code);
  throw new Lite3Error("NATIVE", `Cannot ${action}: ${refused}, ${need}`);
}
