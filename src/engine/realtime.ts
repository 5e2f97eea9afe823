/**
 * `--cpu`, `--fifo` and `--mlock`. Done last before the engine is ready: the threads that
 * JavaScript keeps beside this one are there by then and stay as they are.
 */

import { lockMemory, pinToCpu, useFifo } from "../../ffi/schedule.ts";
import type { OpenCommand } from "../service/control.ts";

/** Throws NATIVE, with what would permit it, where the system refuses. */
export function useRealtime({ cpu, fifo, mlock }: OpenCommand): void {
  if (cpu !== undefined) pinToCpu(cpu);
  if (mlock === true) lockMemory();
  if (fifo !== undefined) useFifo(fifo);
}
