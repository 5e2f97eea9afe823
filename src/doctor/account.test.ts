import { expect, test } from "bun:test";
import { accountOf, mayOpen } from "./account.ts";
import type { FileStat, Machine } from "./machine.ts";

const FILES: Readonly<Record<string, string>> = {
  "/etc/passwd": "root:x:0:0::/root:/bin/sh\nlite3:x:998:997::/:/bin/false\n",
  "/etc/group": "video:x:44:anna,lite3\nlite3:x:997:\nvideo2:x:45:lite33\n",
};

/** A machine with one node, `/node`. */
function machineWith(node: FileStat, user?: string): Machine {
  const directory = { kind: "directory", mode: 0o755, uid: 0, gid: 0, opens: false } as const;
  return {
    place: "a test",
    isLive: false,
    user,
    opensFor: user,
    stat: (path) => ({ value: path === "/node" ? node : directory }),
    names: () => ({ missing: "absent" }),
    bytes(path) {
      const text = FILES[path];
      return text === undefined ? { missing: "absent" } : { value: Buffer.from(text) };
    },
  };
}

const NODE: FileStat = { kind: "character", mode: 0o660, uid: 0, gid: 44, opens: false };

test("accountOf() finds a user by name or number, with the groups that list the whole name", () => {
  const machine = machineWith(NODE);
  const lite3 = { name: "lite3", uid: 998, gids: [997, 44] };
  expect(["lite3", 998, "lite", 999].map((who) => accountOf(machine, who))).toEqual([
    lite3,
    lite3,
    undefined,
    undefined,
  ]);
});

test("mayOpen() holds the mode's bits for owner, group and others against the user", () => {
  const account = { name: "lite3", uid: 998, gids: [997, 44] };
  const cases: readonly (readonly [Partial<FileStat>, boolean])[] = [
    [{}, true],
    [{ mode: 0o640 }, false],
    [{ gid: 45 }, false],
    [{ gid: 45, mode: 0o666 }, true],
    [{ uid: 998, mode: 0o600 }, true],
    // The first class that fits decides, as in the kernel.
    [{ uid: 998, mode: 0o066 }, false],
    [{ mode: 0o606 }, false],
  ];
  const found = cases.map(([change]) =>
    mayOpen(machineWith({ ...NODE, ...change }), "/node", account),
  );
  expect(found).toEqual(cases.map(([, opens]) => opens));
  expect(mayOpen(machineWith({ ...NODE, mode: 0 }), "/node", { ...account, uid: 0 })).toBe(true);
});

test("mayOpen() takes the kernel's word for the user who runs the doctor", () => {
  const account = { name: "lite3", uid: 998, gids: [997] };
  const byAccessList = machineWith({ ...NODE, opens: true }, "lite3");
  const beforeLogin = machineWith(NODE, "lite3");
  expect([byAccessList, beforeLogin].map((machine) => mayOpen(machine, "/node", account))).toEqual([
    true,
    false,
  ]);
});
