import { expect, test } from "bun:test";
import { diagnosisOf } from "./diagnosis_fixture.ts";
import type { Diagnosis } from "./doctor.ts";
import { renderFixScript } from "./fix_script.ts";
import { OWN_LIBRARY } from "./library_script.ts";
import { golden, MACHINES } from "./machine_fixture.ts";
import { fails, type Row, type Step } from "./row.ts";

/** The steps of a script by their headings, as bash accepts it. */
function stepsOf(script: string): string[] {
  const { success, stderr } = Bun.spawnSync(["bash", "-n"], { stdin: Buffer.from(script) });
  if (!success) throw new Error(String(stderr));
  return [...script.matchAll(/^# (Driver|Library|Permissions|Clocks):/gm)].map(
    ([, name = ""]) => name,
  );
}

test("renderFixScript() has the steps that each machine calls for", async () => {
  const found: Record<string, string[]> = {};
  for (const name of MACHINES) found[name] = stepsOf(renderFixScript(await diagnosisOf(name)));
  expect(found).toEqual({
    healthy: [],
    no_driver: ["Driver"],
    old_driver: ["Driver"],
    library_missing: ["Library"],
    library_too_old: ["Library"],
    node_without_permission: ["Permissions"],
    wrong_soc: [],
    powersave: ["Clocks"],
    x86_ci: ["Driver", "Library"],
  });
});

test("renderFixScript() downloads nothing where a newer library is needed", async () => {
  const script = renderFixScript(
    await diagnosisOf("healthy", { model: { toolkit: "2.5.0", platform: "rk3588" } }),
  );
  const comment = /^# Not in this script: model and library: (.*)$/m.exec(script)?.[1];
  expect([stepsOf(script), script.includes("curl"), comment?.endsWith(OWN_LIBRARY)]).toEqual([
    ["Library"],
    false,
    true,
  ]);
});

const brokenRow = (step?: Step): Row =>
  fails(step ?? "clock", "", "", "sudo timedatectl set-ntp true", step);

const EVERYTHING: Diagnosis = {
  place: "this machine",
  board: "Radxa ROCK 5B, Ubuntu 22.04.3 LTS, kernel 5.10.160",
  user: "lite3",
  counts: { ok: 0, warning: 0, fails: 5, "not checked": 0 },
  rows: [
    brokenRow("driver"),
    brokenRow("library"),
    brokenRow("permission"),
    brokenRow("speed"),
    brokenRow(),
  ],
};

test("renderFixScript() prints all steps in the order in which they work", () => {
  const script = renderFixScript(EVERYTHING);
  expect(stepsOf(script)).toEqual(["Driver", "Library", "Permissions", "Clocks"]);
  expect(`${script}\n`).toBe(golden("everything.sh", `${script}\n`));
});

test("renderFixScript() makes a user for the service in the place of root", () => {
  const userLines = (user: string | undefined): (string | undefined)[] =>
    renderFixScript({ ...EVERYTHING, user }).match(/^user=.*$/gm) ?? [];
  expect(["root", undefined, "lite3"].map(userLines)).toEqual([
    ["user=lite3rl"],
    ["user=lite3rl"],
    ["user=lite3"],
  ]);
});

test("renderFixScript() lets no text of a machine become a command", () => {
  const hostile = "x\n$(touch /tmp/x)'; touch /tmp/y #";
  const rows = EVERYTHING.rows.map((row) => ({ ...row, mend: hostile }));
  const script = renderFixScript({ ...EVERYTHING, board: hostile, user: hostile, rows });
  const outside = script.replace(/^user='x\n\$\(touch \/tmp\/x\)'\\''; touch \/tmp\/y #'$/m, "");
  expect(outside.split("\n").filter((line) => /touch/.test(line) && !line.startsWith("#"))).toEqual(
    [],
  );
});
