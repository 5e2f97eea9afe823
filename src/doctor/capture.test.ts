import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { AssertionError } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { recordMachine } from "./capture.ts";
import { CAPTURE_FORMAT, INDEX, openCaptured } from "./captured.ts";
import { type Diagnosis, diagnose, SOCKET } from "./doctor.ts";
import { MACHINES, writeMachine } from "./machine_fixture.ts";
import type { Machine } from "./machine.ts";

const directory = temporaryDirectory();

async function open(path: string): Promise<Machine> {
  const machine = await openCaptured(path);
  if (machine === undefined) throw new Error("it is no capture");
  return machine;
}

const ask = async (
  machine: Machine,
  model: string,
  user?: string,
): Promise<Omit<Diagnosis, "place">> => {
  const { place: _, ...rest } = await diagnose(machine, {
    user,
    library: undefined,
    socket: SOCKET,
    model,
  });
  return rest;
};

/** Captures a machine of the fixtures as the doctor would on the board. */
async function captureOf(name: (typeof MACHINES)[number], user?: string) {
  const { capture, model } = await writeMachine(directory, name);
  const recorder = recordMachine(await open(capture), [SOCKET, `${SOCKET}.lock`]);
  const diagnosis = await ask(recorder.machine, model, user);
  const bytes = await recorder.encode(diagnosis.user);
  const path = join(directory, `${name}.tar`);
  writeFileSync(path, bytes);
  return { path, model, diagnosis, bytes, contents: recorder.contents() };
}

describe("a capture says the same as its machine, of", () => {
  for (const name of MACHINES) {
    test(name, async () => {
      const { path, model, diagnosis } = await captureOf(name);
      expect(await ask(await open(path), model)).toEqual(diagnosis);
    });
  }
});

test("a capture for another user than who made it is of that user alone", async () => {
  const { path, model, diagnosis, bytes } = await captureOf("healthy", "anna");
  expect(await ask(await open(path), model)).toEqual(diagnosis);
  const files = await new Bun.Archive(bytes).files();
  const texts = await Promise.all([...files.values()].map((file) => file.text()));
  expect([diagnosis.user, texts.some((text) => text.includes("lite3:"))]).toEqual(["anna", false]);
});

test("a capture that was unpacked says the same as the tar", async () => {
  const { model, diagnosis, bytes } = await captureOf("healthy");
  const unpacked = join(directory, "unpacked");
  await new Bun.Archive(bytes).extract(unpacked);
  expect(await ask(await open(unpacked), model)).toEqual(diagnosis);
});

test("a capture has of accounts and libraries only what the doctor needs", async () => {
  const { bytes, contents } = await captureOf("healthy");
  const files = await new Bun.Archive(bytes).files();
  const textOf = async (path: string): Promise<string | undefined> => files.get(path)?.text();
  expect({
    passwd: await textOf("etc/passwd"),
    group: await textOf("etc/group"),
    stat: await textOf("proc/stat"),
    status: await textOf("proc/self/status"),
    files: [...files.keys()]
      .filter((path) => path !== INDEX)
      .map((path) => `/${path}`)
      .sort(),
  }).toEqual({
    passwd: "root:x:0:0:::\nlite3:x:998:998:::\n",
    group: "root:x:0:\nvideo:x:44:lite3\nlite3:x:998:\n",
    stat: "btime 1793600000\n",
    status: "Cpus_allowed_list:\t0-7\n",
    files: [...contents],
  });
});

test("recordMachine() is a bug where a check reads what no capture may hold", async () => {
  const { capture } = await writeMachine(directory, "healthy");
  const { machine } = recordMachine(await open(capture), []);
  for (const path of [
    "/etc/shadow",
    "/home/anna/.ssh/id_rsa",
    "/proc/1/environ",
    "/etc/machine-id",
  ]) {
    expect(() => machine.bytes(path)).toThrow(AssertionError);
    expect(() => machine.stat(path)).toThrow(AssertionError);
  }
});

test("what a capture does not list is not checked", async () => {
  const empty = join(directory, "empty");
  mkdirSync(empty);
  writeFileSync(
    join(empty, INDEX),
    JSON.stringify({ format: CAPTURE_FORMAT, version: "0.0.0", isByUser: false, paths: {} }),
  );
  const { model } = await writeMachine(directory, "healthy");
  const { rows } = await ask(await open(empty), model);
  expect(rows.filter(({ state }) => state !== "not checked").map(({ check }) => check)).toEqual([
    "model",
  ]);
});

describe("openCaptured() refuses", () => {
  const write = (name: string, bytes: Uint8Array | string): string => {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    return path;
  };
  const tar = (index: string): Promise<Uint8Array> => new Bun.Archive({ [INDEX]: index }).bytes();

  test("what is no tar, has no index, or one that is broken", async () => {
    const index = {
      format: CAPTURE_FORMAT,
      version: "0",
      isByUser: false,
      paths: { "/x": { stat: { value: 1 } } },
    };
    const wanted = "need one that lite3rl doctor --capture wrote";
    const cases: readonly (readonly [string, string])[] = [
      [write("a.tar", "not a tar at all"), `it is no tar, ${wanted}`],
      [
        write("b.tar", await new Bun.Archive({ "etc/passwd": "x" }).bytes()),
        `it has no ${INDEX}, ${wanted}`,
      ],
      [write("c.tar", await tar("{")), `${INDEX} is no JSON`],
      [
        write("d.tar", await tar(JSON.stringify({ ...index, format: 2 }))),
        `${INDEX}: format is not what doctor ${version} writes there`,
      ],
      [
        write("e.tar", await tar(JSON.stringify(index))),
        `${INDEX}: paths./x.stat is not what doctor ${version} writes there`,
      ],
    ];
    for (const [path, problem] of cases) {
      expect(await refusalOf(() => openCaptured(path))).toEqual({
        code: "MALFORMED",
        message: `Cannot read the capture "${path}": ${problem}`,
      });
    }
  });
});
