/**
 * One row of the doctor's table, and what all checks are given.
 */

import { plain } from "../base/text.ts";
import type { RknnFile } from "../formats/rknn.ts";
import type { Account } from "./account.ts";
import type { FoundLibrary } from "./library.ts";
import type { Machine } from "./machine.ts";

/**
 * `fails` is kept for what stops the service on the NPU; everything else that is not as it should
 * be is a warning. What is only reported by others is never more than a warning.
 */
export const STATES = ["ok", "warning", "fails", "not checked"] as const;

export type State = (typeof STATES)[number];

/** The parts of the script that `--fix` prints. */
export type Step = "driver" | "library" | "newer library" | "permission" | "speed";

export interface Row {
  readonly check: string;
  readonly state: State;
  /** What was found; for `not checked`, why. */
  readonly found: string;
  /** What is needed; empty where it is all there. */
  readonly needed: string;
  /** The command, or else the act, that mends it. */
  readonly mend: string;
  readonly step?: Step;
}

/** What is given with `--model`. */
export interface GivenModel {
  readonly path: string;
  readonly bytes: Uint8Array;
  /** The container, or why it is none. */
  readonly content: RknnFile | { readonly problem: string };
}

export interface Subject {
  readonly machine: Machine;
  /** The service's user, by name; undefined where nobody said. */
  readonly userName: string | undefined;
  readonly account: Account | undefined;
  /** The first library where they are looked for, and the others. */
  readonly libraries: readonly FoundLibrary[];
  readonly model: GivenModel | undefined;
  /** The path of the service's socket. */
  readonly socket: string;
}

/**
 * What a machine says comes to the terminal as one line of plain characters, and is cut where it
 * is longer than any sound text of it.
 */
const shown = (found: string): string => plain(found, 400);

export const ok = (check: string, found: string): Row => ({
  check,
  state: "ok",
  found: shown(found),
  needed: "",
  mend: "",
});

export const notChecked = (check: string, found: string, mend = ""): Row => ({
  ...ok(check, found),
  state: "not checked",
  mend,
});

export const warning = (
  check: string,
  found: string,
  needed: string,
  mend: string,
  step?: Step,
): Row => ({ ...ok(check, found), state: "warning", needed, mend, ...(step && { step }) });

export const fails = (
  check: string,
  found: string,
  needed: string,
  mend: string,
  step?: Step,
): Row => ({ ...warning(check, found, needed, mend, step), state: "fails" });
