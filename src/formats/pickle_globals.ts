/**
 * Which classes and functions does a pickle name? For files that are not to be trusted: nothing is
 * built and nothing is called; every opcode of protocols 0 to 5 is followed just far enough to know
 * which strings reach STACK_GLOBAL and which globals are called, whatever memo, DUP and POP do.
 *
 * What was named before a pickle breaks is listed with the reason of the break: Python would have
 * executed it by then.
 */

import { FormatError } from "../base/errors.ts";
import { SCAN_OPCODES } from "./pickle_scan_opcodes.ts";
import { type NamedGlobal, PickleScanner } from "./pickle_scanner.ts";

export type { NamedGlobal } from "./pickle_scanner.ts";

export interface PickleScan {
  /** Of the last PROTO opcode; 0 without one. */
  readonly protocol: number;
  /** In the order of their offsets. */
  readonly globals: readonly NamedGlobal[];
  readonly opcodes: number;
  /** Bytes up to and with STOP, or to where the scan ended. */
  readonly consumed: number;
  /** Why it ended before STOP. */
  readonly problem?: string;
}

/** Scans the first pickle of `bytes`; what is broken in it is a `problem`, not an error. */
export function listGlobals(bytes: Uint8Array): PickleScan {
  const scanner = new PickleScanner(bytes);
  const problem = follow(scanner);
  return {
    protocol: scanner.protocol,
    globals: [...scanner.globals.values()],
    opcodes: scanner.opcodes,
    consumed: scanner.offset,
    ...(problem === undefined ? {} : { problem }),
  };
}

function follow(scanner: PickleScanner): string | undefined {
  try {
    while (!scanner.stopped) {
      const code = scanner.readOpcode();
      const opcode = SCAN_OPCODES.get(code);
      if (opcode === undefined) return scanner.fail(`0x${code.toString(16)} is not an opcode`);
      scanner.opcode = opcode.name;
      opcode.run(scanner);
    }
    return undefined;
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return error.message;
  }
}
