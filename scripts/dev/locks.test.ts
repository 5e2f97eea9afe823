import { expect, test } from "bun:test";
import { TOOLKIT_LOCKS } from "../../src/rknn_toolkit/locks.ts";
import { pinnedPip, resolveWheels } from "./locks.ts";
import { testWith } from "./test_tools.ts";

const PYTHONS = ["cp38", "cp39", "cp310", "cp311", "cp312"];
const NAMES = PYTHONS.flatMap((python) => [`${python}-x86_64`, `${python}-aarch64`]);

test("every Python and machine has a lock, or it is said that there is none", () => {
  const sets = TOOLKIT_LOCKS.map(({ toolkit, environments, missing }) => [
    toolkit,
    [...Object.keys(environments), ...Object.keys(missing)].toSorted(),
  ]);
  expect(sets).toEqual(["2.5.0", "2.3.2", "2.2.0"].map((one) => [one, NAMES.toSorted()]));
});

test("every lock has the toolkit for its Python and machine, digests, and no torch", () => {
  for (const { toolkit, environments, wheels } of TOOLKIT_LOCKS) {
    const all = Object.entries(environments);
    for (const [name, files] of all) {
      const [python = "", machine = ""] = name.split("-");
      const own = new RegExp(`^rknn_toolkit2-${toolkit}-${python}-${python}-.*_${machine}\\.whl$`);
      expect(files.filter((file) => own.test(file))).toHaveLength(1);
      expect(files.filter((file) => /torch|nvidia/.test(file))).toEqual([]);
      expect(files.filter((file) => !/^[0-9a-f]{64}$/.test(wheels[file] ?? ""))).toEqual([]);
    }
    const used = new Set(all.flatMap(([, files]) => files));
    expect(Object.keys(wheels).toSorted()).toEqual([...used].toSorted());
  }
});

/** pip resolves for any Python; the locks of other machines are held to their digests alone. */
const MACHINE = process.arch === "arm64" ? "aarch64" : "x86_64";

for (const { toolkit, environments, missing, wheels } of TOOLKIT_LOCKS) {
  testWith("python")(
    `pip resolves each lock of ${toolkit} to the wheels that it names`,
    async () => {
      const pip = pinnedPip();
      if ("missing" in pip) throw new Error(pip.missing);
      const names = NAMES.filter((name) => name.endsWith(MACHINE));
      const checked = names.map(async (name) => {
        const files = environments[name];
        if (files === undefined) {
          const found = await resolveWheels(pip.path, name, [`rknn-toolkit2==${toolkit}`]);
          return expect(found).toBe(missing[name] ?? "");
        }
        const pins = files.map((file) => file.split("-").slice(0, 2).join("=="));
        const expected = Object.fromEntries(files.map((file) => [file, wheels[file] ?? ""]));
        expect(await resolveWheels(pip.path, name, pins)).toEqual(expected);
      });
      await Promise.all(checked);
    },
  );
}
