/**
 * Everything that is checked, in the order in which it is mended: a board, its driver, the nodes,
 * the library, the model; then what makes it fast, and what is around it.
 */

import { FormatError } from "../base/errors.ts";
import { readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { parseRknn } from "../formats/rknn.ts";
import { accountNamed } from "./account.ts";
import { checkBoard, describeBoard } from "./board.ts";
import { checkDevices } from "./devices.ts";
import { checkDriver } from "./driver.ts";
import { checkLibrary, findLibraries } from "./library.ts";
import { checkLoading } from "./loading.ts";
import type { Machine } from "./machine.ts";
import { checkModel } from "./model.ts";
import { checkPlaces } from "./places.ts";
import { type GivenModel, type Row, type State, STATES, type Subject } from "./row.ts";
import { checkSpeed } from "./speed.ts";

/** Where the blueprint has the service's socket. */
export const SOCKET = "/tmp/lite3_policy.sock";

export interface Questions {
  /** The service's user, by name or number; whoever runs the doctor, if nobody is named. */
  readonly user: string | undefined;
  /** Path on this machine, whatever machine is looked at. */
  readonly model: string | undefined;
  /** Paths on the machine that is looked at. */
  readonly library: string | undefined;
  readonly socket: string;
}

export interface Diagnosis {
  readonly place: string;
  readonly board: string;
  readonly user: string | undefined;
  readonly rows: readonly Row[];
  readonly counts: Readonly<Record<State, number>>;
}

export async function diagnose(machine: Machine, questions: Questions): Promise<Diagnosis> {
  const asked = questions.user ?? machine.user;
  const account = asked === undefined ? undefined : accountNamed(machine, asked);
  const userName = account?.name ?? asked;
  const subject: Subject = {
    machine,
    userName,
    account,
    libraries: findLibraries(machine, questions.library),
    model: questions.model === undefined ? undefined : readModel(questions.model),
    socket: questions.socket,
  };
  const checks = [
    checkBoard,
    checkDriver,
    checkDevices,
    checkLibrary,
    checkModel,
    checkLoading,
    checkSpeed,
    checkPlaces,
  ];
  const rows = (await Promise.all(checks.map((check) => check(subject)))).flat();
  const counts = Object.fromEntries(
    STATES.map((state) => [state, rows.filter((row) => row.state === state).length]),
  ) as Record<State, number>;
  return {
    place: machine.place,
    board: describeBoard(machine),
    user: userName,
    rows,
    counts,
  };
}

/** Throws NOT_FOUND if there is no such file; what is wrong inside of it becomes a row. */
function readModel(path: string): GivenModel {
  const bytes = readFile(path, LIMITS.modelBytes);
  try {
    return { path, bytes, content: parseRknn(bytes) };
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return { path, bytes, content: { problem: error.message } };
  }
}
