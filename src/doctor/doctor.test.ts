import { describe, expect, test } from "bun:test";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { openCaptured } from "./captured.ts";
import { type Diagnosis, diagnose, SOCKET } from "./doctor.ts";
import {
  type Change,
  golden,
  type MachineName,
  MACHINES,
  writeMachine,
} from "./machine_fixture.ts";
import type { Row } from "./row.ts";
import { diagnosisDocument, renderDiagnosis } from "./render.ts";

const directory = temporaryDirectory();

interface Asked {
  readonly user?: string;
  readonly library?: string;
  readonly socket?: string;
  readonly isWithoutModel?: true;
}

async function diagnosisOf(
  name: MachineName,
  change: Change = {},
  { user, library, socket = SOCKET, isWithoutModel }: Asked = {},
): Promise<Diagnosis> {
  const { capture, model } = await writeMachine(directory, name, change);
  const machine = await openCaptured(capture);
  if (machine === undefined) throw new Error("what was written is no capture");
  const questions = { user, library, socket, model: isWithoutModel ? undefined : model };
  const diagnosis = diagnose(machine, questions);
  return JSON.parse(JSON.stringify(diagnosis).replaceAll(`${directory}/`, "")) as Diagnosis;
}

describe("doctor says of", () => {
  for (const name of MACHINES) {
    test(name, async () => {
      const diagnosis = await diagnosisOf(name);
      const text = `${Bun.stripANSI(renderDiagnosis(diagnosis))}\n`;
      const json = `${JSON.stringify(diagnosisDocument(diagnosis), null, 2)}\n`;
      expect(text).toBe(golden(`${name}.txt`, text));
      expect(json).toBe(golden(`${name}.json`, json));
    });
  }
});

/** The row of one check, without what it leaves empty. */
async function rowOf(check: string, ...asked: Parameters<typeof diagnosisOf>): Promise<object> {
  const { rows } = await diagnosisOf(...asked);
  const row = rows.find((other) => other.check === check) as Row;
  const { state, found, needed, mend } = row;
  return { state, found, ...(needed && { needed }), ...(mend && { mend }) };
}

const ROWS: readonly (readonly [
  what: string,
  check: string,
  asked: [MachineName, Change?, Asked?],
  row: object,
])[] = [];

describe("doctor, when", () => {
  for (const [what, check, asked, row] of ROWS) {
    test(what, async () => {
      expect(await rowOf(check, ...asked)).toEqual(row);
    });
  }
});
