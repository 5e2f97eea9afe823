/**
 * The state of the board: what the doctor finds, clocks and temperature before and after, and
 * governors that were tried and read back.
 */

import { realpathSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { diagnose, SOCKET } from "../doctor/doctor.ts";
import { namesLike, textOf } from "../doctor/machine.ts";
import type { Row } from "../doctor/row.ts";
import { openTree } from "../doctor/tree.ts";
import type { Measured, MeasuredOf } from "../report/accept_document.ts";
import { isRknnPath } from "../runtime/open_rknn.ts";

export interface BoardOptions {
  readonly root: string;
  readonly model: string;
  readonly librknnrt?: string | undefined;
  readonly governor?: string | undefined;
}

export interface Board extends Disposable {
  /** Reads again what changes with work. Governors are put back by disposing. */
  finish(): Promise<Measured["board"]>;
}

/** Checks whose figures change while the board works. */
const CHANGING = ["CPU clock", "NPU clock", "memory clock", "temperature", "power sensor"];

/** Where the vendor's kernel on the RK3588 has its governors. */
const CPUFREQ = "/sys/devices/system/cpu/cpufreq";
const DEVFREQ = "/sys/class/devfreq";

export async function watchBoard(options: BoardOptions): Promise<Board> {
  const { root, governor } = options;
  const tried = governor === undefined ? [] : tryGovernors(root, governor);
  const before = await look(options);
  return {
    async finish() {
      const after = await look(options);
      return {
        state: "measured",
        place: before.place,
        board: before.board,
        rows: before.rows.map(plainRow),
        after: after.rows.filter(({ check }) => CHANGING.includes(check)).map(plainRow),
        governors: tried,
      };
    },
    [Symbol.dispose]() {
      for (const { place, before: found } of tried) if (found !== "") write(root, place, found);
    },
  };
}

function look({ root, model, librknnrt }: BoardOptions) {
  const machine = openTree(root);
  const ownModel = isRknnPath(model) ? model : undefined;
  // A library that is named is on this machine, not in another's tree.
  const library = machine.isLive && librknnrt !== undefined ? resolve(librknnrt) : undefined;
  const questions = { user: undefined, model: ownModel, library, socket: SOCKET };
  return diagnose(machine, questions);
}

const plainRow = ({ check, state, found, needed }: Row) => ({ check, state, found, needed });

function tryGovernors(root: string, governor: string): MeasuredOf<"board">["governors"] {
  const machine = openTree(root);
  const places = [
    ...namesLike(machine, CPUFREQ, /^policy\d+$/).map((name) => {
      return `${CPUFREQ}/${name}/scaling_governor`;
    }),
    ...namesLike(machine, DEVFREQ, /^(?:.*\.npu|dmc)$/).map(
      (name) => `${DEVFREQ}/${name}/governor`,
    ),
  ];
  return places.map((place) => {
    const before = textOf(machine, place) ?? "";
    const refused = write(root, place, governor);
    const readBack = textOf(machine, place) ?? "";
    return { place, before, tried: governor, readBack: refused ?? readBack };
  });
}

/** Why it could not be written; a link out of a copied tree is not followed. */
function write(root: string, place: string, governor: string): string | undefined {
  try {
    const path = realpathSync(join(root, place));
    if (root !== "/" && !path.startsWith(`${realpathSync(root)}/`))
      return "refused: out of the tree";
    writeFileSync(path, governor);
    return undefined;
  } catch (error) {
    return `refused: ${(error as NodeJS.ErrnoException).code ?? (error as Error).message}`;
  }
}
