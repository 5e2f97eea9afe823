/**
 * An unpickler that executes nothing.
 *
 * Python's own `pickle.load` calls whatever the file names. This one runs the stack machine of
 * protocols 2 to 5 and gives back data: a global is a name, a call happens only inside the
 * caller's `reduce` hook, for names on its allow-list, and everything else becomes `Opaque`.
 * Time is bounded by the opcode limit, and every loop inside of an opcode counts against it.
 */

import { FormatError } from "../base/errors.ts";
import { PickleMachine } from "./pickle_machine.ts";
import { OPCODES } from "./pickle_opcodes.ts";
import { type PickleLeaf, type PickleValue, checkTree } from "./pickle_value.ts";

export { describeValue, isGlobal, isOpaque } from "./pickle_value.ts";
export type { Opaque, PickleGlobal, PickleLeaf, PickleValue } from "./pickle_value.ts";

export interface PickleHooks<Leaf extends PickleLeaf = never> {
  /** Stands for an object kept outside of the pickle; FormatError for an id it does not know. */
  persistentLoad(id: PickleValue<Leaf>): PickleValue<Leaf>;
  /**
   * The value of `global(*args)` (`module.name`) for what is on the allow-list; `undefined` keeps
   * the call as an `Opaque`. The arguments may still be under construction: look, do not walk.
   */
  reduce(global: string, args: readonly PickleValue<Leaf>[]): PickleValue<Leaf> | undefined;
}

/** Hooks that allow nothing: for pickles of plain data. */
export const NO_HOOKS: PickleHooks = {
  persistentLoad() {
    throw new FormatError("a persistent id, need a pickle of plain data");
  },
  reduce: () => undefined,
};

/** Parses one pickle that is all of `bytes`. Throws FormatError with byte offset and opcode. */
export function parsePickle<Leaf extends PickleLeaf = never>(
  bytes: Uint8Array,
  hooks: PickleHooks<Leaf>,
): PickleValue<Leaf> {
  const { value, consumed } = readPickle(bytes, hooks);
  if (consumed !== bytes.length) {
    throw new FormatError(
      `pickle: STOP at byte ${consumed - 1} leaves ${bytes.length - consumed} bytes, need none`,
    );
  }
  return value;
}

/** Reads the pickle at the beginning of `bytes`: legacy torch files hold several in a row. */
export function readPickle<Leaf extends PickleLeaf = never>(
  bytes: Uint8Array,
  hooks: PickleHooks<Leaf>,
): { readonly value: PickleValue<Leaf>; readonly consumed: number } {
  const machine: PickleMachine = new PickleMachine(bytes, hooks);
  machine.readProtocol();
  while (!machine.stopped) {
    const code = machine.readOpcode();
    const opcode = OPCODES.get(code);
    if (opcode === undefined) machine.fail(`0x${code.toString(16)} is not an opcode`);
    machine.opcode = opcode.name;
    if (opcode.run === undefined) machine.fail(opcode.refusal, "UNSUPPORTED");
    opcode.run(machine);
  }
  const value = machine.result() as PickleValue<Leaf>;
  checkTree(value);
  return { value, consumed: machine.offset };
}
