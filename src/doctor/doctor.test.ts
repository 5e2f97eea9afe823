import { describe, expect, test } from "bun:test";
import { diagnosisOf } from "./diagnosis_fixture.ts";
import { golden, MACHINES } from "./machine_fixture.ts";
import { diagnosisDocument, renderDiagnosis } from "./render.ts";

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
