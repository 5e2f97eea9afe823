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

test("what doctor says fits the terminal, and broken commands are still commands", async () => {
  for (const name of MACHINES) {
    const text = Bun.stripANSI(renderDiagnosis(await diagnosisOf(name), 80));
    // A path stays whole, however long it is.
    const isBroken = (line: string): boolean => /^(?:need )?\S+(?: \\)?$/.test(line.trim());
    const long = text.split("\n").filter((line) => line.length > 80 && !isBroken(line));
    expect(long).toEqual([]);
  }
  const text = Bun.stripANSI(renderDiagnosis(await diagnosisOf("library_too_old"), 80));
  const [, command = ""] = /→ (sudo mv (?:.*\\\n)*.*)/.exec(text) ?? [];
  expect(command.replaceAll(/\\\n\s+/g, "")).toBe(
    "sudo mv /usr/lib/librknnrt.so /usr/lib/librknnrt.so.before && sudo ldconfig",
  );
});

test("what a machine says cannot steer the terminal", async () => {
  const hostile = "radxa\u001b[2J\n\u0007,\u009b";
  const diagnosis = await diagnosisOf("healthy", {
    files: {
      "/proc/device-tree/model": hostile,
      "/proc/device-tree/compatible": `${hostile}\0rockchip,rk3588`,
      "/proc/sys/kernel/osrelease": `5.10.1${hostile}`,
      "/etc/os-release": `PRETTY_NAME="${hostile}"`,
      "/sys/class/thermal/thermal_zone0/type": hostile,
      "/sys/class/devfreq/dmc/governor": hostile,
      "/etc/group": `video${hostile}:x:44:lite3\n`,
    },
  });
  const text = Bun.stripANSI(renderDiagnosis(diagnosis));
  // oxlint-disable-next-line no-control-regex
  expect(text.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g)).toBeNull();
});
