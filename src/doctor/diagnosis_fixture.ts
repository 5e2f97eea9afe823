/**
 * For tests: what the doctor says of a machine of `fixtures/doctor`, changed or not.
 */

import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { openCaptured } from "./captured.ts";
import { type Diagnosis, diagnose, SOCKET } from "./doctor.ts";
import { type Change, type MachineName, writeMachine } from "./machine_fixture.ts";

export interface Asked {
  readonly user?: string;
  readonly library?: string;
  readonly socket?: string;
  readonly isWithoutModel?: true;
}

/** Paths of the machine's own directory are as from there. */
export async function diagnosisOf(
  name: MachineName,
  change: Change = {},
  { user, library, socket = SOCKET, isWithoutModel }: Asked = {},
): Promise<Diagnosis> {
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-test-"));
  try {
    const { capture, model } = await writeMachine(directory, name, change);
    const machine = present(await openCaptured(capture), "the capture that was written");
    const questions = { user, library, socket, model: isWithoutModel ? undefined : model };
    const diagnosis = await diagnose(machine, questions);
    return JSON.parse(JSON.stringify(diagnosis).replaceAll(`${directory}/`, "")) as Diagnosis;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A machine, the check whose row is meant, and that row without what it leaves empty. */
export type Case = readonly [
  what: string,
  check: string,
  asked: readonly [MachineName, Change?, Asked?],
  row: object,
];

export const files = (changed: NonNullable<Change["files"]>): Change => ({ files: changed });
export const access = (changed: NonNullable<Change["access"]>): Change => ({ access: changed });

export function testRows(subject: string, cases: readonly Case[]): void {
  describe(`${subject} has its row when`, () => {
    for (const [what, check, asked, row] of cases) {
      test(what, async () => {
        const { rows } = await diagnosisOf(...asked);
        const found = present(
          rows.find((other) => other.check === check),
          check,
        );
        const { state, found: text, needed, mend } = found;
        expect({ state, found: text, ...(needed && { needed }), ...(mend && { mend }) }).toEqual(
          row as never,
        );
      });
    }
  });
}
