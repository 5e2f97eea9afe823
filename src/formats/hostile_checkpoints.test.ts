/**
 * Hostile checkpoints: whatever a file is, reading it ends in a value or a refusal, soon and in
 * little memory, and nothing that it names is executed. They are read by a process of its own, so
 * that its memory is theirs.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { attacks } from "./hostile_fixture.ts";
import type { HostileRun } from "./hostile_run_fixture.ts";

const LIMIT_MS = 240_000;
setDefaultTimeout(LIMIT_MS);

/** What issue 4 allows a case: processor time, which a busy machine does not lengthen. */
const CASE_MS = 1000;
const MEMORY_BYTES = 256e6;

/** Runs `hostile_run_fixture.ts`. */
async function runHostile(...args: string[]): Promise<HostileRun> {
  const program = join(import.meta.dir, "hostile_run_fixture.ts");
  const child = Bun.spawn([process.execPath, program, ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: LIMIT_MS,
    killSignal: "SIGKILL",
  });
  const [stdout, stderr, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  expect({ stderr, status }).toEqual({ stderr: "", status: 0 });
  return JSON.parse(stdout) as HostileRun;
}

/** The properties that hold for whatever was read. */
function expectHarmless({ bugs, slowestMs, rssBytes }: HostileRun): void {
  expect({ bugs, isSoon: slowestMs < CASE_MS, isSmall: rssBytes < MEMORY_BYTES }).toEqual({
    bugs: [],
    isSoon: true,
    isSmall: true,
  });
}

const NO_WEIGHT = (type: string) =>
  `"actor.0.weight" holds ${type}, need a tensor of float16, bfloat16, float32, float64`;
const TREE = 'entry "archive/data.pkl": ';
const NO_SIZES = `${TREE}tensor of storage "a": offset, shape and strides are not sizes`;
const outside = (view: string, elements: string) =>
  `${TREE}tensor of storage "a": shape ${view} has ${elements}, but the storage has 4`;
const OBJECT = (type: string) => `it holds a pickled object of ${type} (save its state_dict()`;
const SHARED = (elements: number) =>
  `storage "a" of ${elements} elements is shared by too many of its layers, need weights of`;

/** How each attack ends: the code, and how the message begins. */
const ENDINGS: Readonly<Record<string, readonly [code: string, begins: string]>> = {
  "os.system as the whole checkpoint": ["UNSUPPORTED", OBJECT("posix.system")],
  "os.system in the place of a weight": ["UNSUPPORTED", NO_WEIGHT("posix.system")],
  "os.system beside the weights": ["VALUE", "actor_critic"],
  "eval by GLOBAL": ["UNSUPPORTED", NO_WEIGHT("builtins.eval")],
  "eval by STACK_GLOBAL": ["UNSUPPORTED", NO_WEIGHT("builtins.eval")],
  "eval by INST": ["UNSUPPORTED", `${TREE}pickle INST at byte `],
  "eval by OBJ": ["UNSUPPORTED", `${TREE}pickle OBJ at byte `],
  "a function that getattr finds": ["UNSUPPORTED", NO_WEIGHT("builtins.getattr()")],
  "__setstate__ by BUILD": ["UNSUPPORTED", OBJECT("__main__.Evil")],
  "a class by NEWOBJ": ["UNSUPPORTED", NO_WEIGHT("subprocess.Popen")],
  "a class by NEWOBJ_EX": ["UNSUPPORTED", NO_WEIGHT("subprocess.Popen")],
  "an extension code": ["UNSUPPORTED", `${TREE}pickle EXT1 at byte 23: the copyreg extension`],
  "a persistent id that calls": ["MALFORMED", `${TREE}a persistent id is not that of a storage`],
  "a tensor with hooks that call": ["VALUE", "actor_critic"],
  "a legacy stream whose tree calls": ["UNSUPPORTED", OBJECT("posix.system")],
  "a legacy stream whose module's source calls": ["UNSUPPORTED", "it holds no dictionary"],
  "a list that contains itself": ["MALFORMED", `${TREE}pickle: a container contains itself`],
  "a dict that contains itself": ["MALFORMED", `${TREE}pickle: a container contains itself`],
  "a call with itself as its argument": ["MALFORMED", `${TREE}pickle: a container contains itself`],
  "a memo that was never set": ["MALFORMED", `${TREE}pickle BINGET at byte 2: memo 9 was never`],
  "lists within lists, 100000 deep": ["TOO_LARGE", `${TREE}pickle: containers are nested deeper`],
  "tuples within tuples, 100000 deep": ["TOO_LARGE", `${TREE}pickle: containers are nested deeper`],
  "calls of calls, 100000 deep": ["UNSUPPORTED", OBJECT("a.b()")],
  "a billion laughs": ["TOO_LARGE", `${TREE}pickle: shared containers unfold to more than 1000000`],
  "text of 2^63 bytes": ["MALFORMED", `${TREE}pickle BINUNICODE8 at byte 2: it needs 92233720368`],
  "bytes of 2^32 - 1": ["MALFORMED", `${TREE}pickle BINBYTES at byte 2: it needs 4294967295 bytes`],
  "an int of 2^31 - 1 bytes": ["TOO_LARGE", `${TREE}pickle LONG4 at byte 2: an int of 2147483647`],
  "a frame that is not there": ["MALFORMED", `${TREE}pickle FRAME at byte 2: it needs 281474976`],
  "two million opcodes": ["TOO_LARGE", `${TREE}pickle opcode at byte 1000002: more than 1000000`],
  "no end": ["MALFORMED", `${TREE}pickle opcode at byte 3: it needs 1 bytes, but 0 are left`],
  "protocol 0": ["MALFORMED", `${TREE}pickle PROTO at byte 0: it begins with 0x63, need 0x80`],
  "protocol 6": ["UNSUPPORTED", `${TREE}pickle PROTO at byte 0: protocol 6, need 2 to 5`],
  "an empty pickle": ["MALFORMED", `${TREE}pickle PROTO at byte 0: the pickle is empty`],
  "10^9 rows of a storage that has 4": [
    "MALFORMED",
    outside("[1000000000, 1] with strides [0, 0] from 0", "1000000000 elements up to 0"),
  ],
  "10^9 elements that the file does not have": [
    "MALFORMED",
    'entry "data/a" is 16 bytes at offset 456, but storage a needs 4000000000',
  ],
  "2^53 elements": ["TOO_LARGE", `${TREE}shape [2147483648, 2147483648] has too many elements`],
  "100000 dimensions": ["MALFORMED", NO_SIZES],
  "a shape below zero": ["MALFORMED", NO_SIZES],
  "a storage shorter than it says": [
    "MALFORMED",
    'entry "data/a" is 12 bytes at offset 466, but storage a needs 16',
  ],
  "a storage longer than it says": [
    "MALFORMED",
    'entry "data/a" is 20 bytes at offset 466, but storage a needs 16',
  ],
  "a view that is longer than its storage": [
    "MALFORMED",
    outside("[2, 3] with strides [3, 1] from 0", "6 elements up to 5"),
  ],
  "a view that begins behind its storage": [
    "MALFORMED",
    outside("[2, 2] with strides [2, 1] from 1", "4 elements up to 4"),
  ],
  "an offset of 2^53": [
    "MALFORMED",
    outside(
      "[2, 2] with strides [2, 1] from 9007199254740991",
      "4 elements up to 9007199254740992",
    ),
  ],
  "an offset below zero": ["MALFORMED", NO_SIZES],
  "negative strides": ["MALFORMED", NO_SIZES],
  "strides that reach too far": [
    "MALFORMED",
    outside("[2, 2] with strides [3, 1] from 0", "4 elements up to 4"),
  ],
  "a storage key that leaves the archive": [
    "MALFORMED",
    'entry "data/../../../etc/passwd" is missing, but storage ../../../etc/passwd needs 4 bytes',
  ],
  "a storage that is the tree": [
    "MALFORMED",
    'entry "data/../data.pkl" is missing, but storage ../data.pkl needs 4 bytes',
  ],
  "a storage of text": ["UNSUPPORTED", NO_WEIGHT("torch._utils._rebuild_tensor_v2")],
  "a persistent id of nothing": ["MALFORMED", `${TREE}a persistent id is not that of a storage`],
  "NaN for a weight": ["MALFORMED", '"actor.0.weight" holds NaN at element 0, need numbers'],
  "infinity for a weight": ["MALFORMED", '"actor.0.weight" holds Infinity at element 0, need'],
  "one storage as 3000 layers": ["UNSUPPORTED", SHARED(90_000)],
  "two storages in turn, 3000 times": ["UNSUPPORTED", SHARED(90_000)],
  "3000 expanded layers": ["TOO_LARGE", "expanded tensors repeat more than 1048576 elements"],
  "a legacy stream of 2^52 elements": [
    "MALFORMED",
    'storage "a" at byte 264 needs 8 and 18014398509481984 bytes, but 12 are left',
  ],
  "two trees of one name": ["MALFORMED", 'entry "archive/data.pkl" is there twice, at offset 265'],
  "two trees of two directories": ["MALFORMED", 'there are "archive/data.pkl", "other/data.pkl",'],
  "entries that overlap": ["MALFORMED", 'entry "archive/data/b" at offset 0 overlaps'],
  "an entry behind the end": ["MALFORMED", 'entry "archive/x" at offset 1073741824: bytes'],
  "a name that leaves the archive": [
    "MALFORMED",
    "zip directory, entry 1: invalid relative path: ../../etc/passwd",
  ],
  "an absolute name": ["MALFORMED", "zip directory, entry 1: absolute path: /etc/passwd"],
  "a name with backslashes": ["MALFORMED", "zip directory, entry 1: invalid characters in"],
  "a tree with a false checksum": ["MALFORMED", 'entry "archive/data.pkl" at offset 46 has'],
  "an encrypted tree": ["MALFORMED", "zip directory, entry 0: compressed/uncompressed size"],
  "a deflated storage of 200 MB": [
    "TOO_LARGE",
    'entry "archive/data/z" at offset 263 unpacks to 209715200 bytes from',
  ],
  "a deflated tree of 50 MB": [
    "TOO_LARGE",
    'entry "archive/data.pkl" at offset 46 unpacks to 52428800 bytes from',
  ],
  "a deflated SB3 policy of 200 MB": [
    "TOO_LARGE",
    'entry "policy.pth" at offset 76 unpacks to 209715200 bytes from',
  ],
  "SB3 data of 100000 brackets": ["MALFORMED", 'entry "data" is not the JSON of a Stable-Basel'],
  "SB3 data with a prototype": ["CONFIG", "Cannot choose the activation of"],
  "an SB3 policy that is an SB3 archive": ["UNSUPPORTED", "it is a Stable-Baselines3 archive"],
  "TorchScript of 100000 brackets": ["TOO_LARGE", "code/__torch__.py, line 3: "],
  "TorchScript that calls itself": ["TOO_LARGE", ""],
  "TorchScript that imports": ["UNSUPPORTED", "code/__torch__.py, line 3: __import__ is not"],
  "50000 heads": ["UNSUPPORTED", 'several networks could be the actor: "n0.mean", "n1.mean"'],
  "50000 networks": ["UNSUPPORTED", 'several networks could be the actor: "actor.n0", "actor.n1"'],
  "50000 layers": ["UNSUPPORTED", SHARED(1)],
  "50000 noises": ["UNSUPPORTED", '"n1.std" is neither of "actor" nor known to be of something'],
  "two keys of a million words": ["UNSUPPORTED", "it holds 2 tensors, which is no layout"],
  "a key of 4 MB": ["UNSUPPORTED", "x.1x.1x.1x.1"],
  "10000 entries": ["UNSUPPORTED", "it holds no dictionary, which is no layout known"],
};

describe("readCheckpoint() of", () => {
  let directory: string;
  let canary: string;
  let read: HostileRun;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "lite3rl-attacks-"));
    canary = join(directory, "canary");
    const files = join(directory, "files");
    mkdirSync(files);
    for (const { name, bytes } of attacks(canary)) writeFileSync(join(files, name), bytes);
    read = await runHostile("read", files);
  }, LIMIT_MS);
  afterAll(() => rmSync(directory, { recursive: true }));

  for (const [name, [code, begins]] of Object.entries(ENDINGS)) {
    test(`${name} ends in ${code}`, () => {
      const [found, message = ""] = read.endings[name] ?? [];
      expect([found, message.slice(0, begins.length)]).toEqual([code, begins]);
      expect(message.length).toBeLessThan(2000);
    });
  }

  test("every attack executes nothing, soon and in little memory", () => {
    expect(Object.keys(read.endings).toSorted()).toEqual(Object.keys(ENDINGS).toSorted());
    expect(existsSync(canary)).toBe(false);
    expectHarmless(read);
  });
});

test("readCheckpoint() refuses real checkpoints cut off at every 64th byte", async () => {
  const run = await runHostile("cut");
  expect([run.cases > 500, run.values]).toEqual([true, 0]);
  expectHarmless(run);
});

test("readCheckpoint() gives a value or a refusal for 10000 damaged checkpoints", async () => {
  const runs = await Promise.all([1, 3, 5, 7].map((seed) => runHostile("flip", `${seed}`, "2500")));
  for (const run of runs) expectHarmless(run);
  const total = (count: (run: HostileRun) => number) =>
    runs.reduce((sum, run) => sum + count(run), 0);
  expect([total(({ cases }) => cases), total(({ values }) => values) > 100]).toEqual([
    10_000,
    true,
  ]);
});
