import { expect, test } from "bun:test";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeNpz } from "../formats/npz.ts";
import { temporaryDirectory } from "./directory_fixture.ts";
import {
  checkOutputFiles,
  HTML_PAGE,
  JUNIT_XML,
  npzKind,
  type OutputKind,
  textKind,
} from "./output_files.ts";
import { refusalOf } from "./refusal_fixture.ts";

const directory = temporaryDirectory();

function place(name: string, content?: string | Uint8Array): string {
  const path = join(directory, name);
  if (content !== undefined) writeFileSync(path, content);
  return path;
}

const npz = (...names: string[]): Uint8Array =>
  writeNpz(
    Object.fromEntries(
      names.map((name) => [name, { dtype: "uint8", shape: [1], data: Uint8Array.of(1) }]),
    ),
  );

const SAVED = npzKind("saved file", "obs");
const CSV = textKind("CSV of a log", "timeS,");
const XML = '<?xml version="1.0" encoding="UTF-8"?>\n';

const OWN: readonly [name: string, OutputKind, string | Uint8Array][] = [
  ["page.html", HTML_PAGE, "<!DOCTYPE html>\n<html>"],
  ["junit.xml", JUNIT_XML, `${XML}<testsuites name="x">`],
  ["log.csv", CSV, "timeS,episode\n"],
  ["saved.npz", SAVED, npz("obs", "about")],
  ["empty", HTML_PAGE, ""],
];

const FOREIGN: readonly [name: string, OutputKind, string | Uint8Array][] = [
  ["lite3rl.yaml", HTML_PAGE, "model: build/policy.onnx\n"],
  ["record.json", HTML_PAGE, '{"lite3rl": "0.1.0"}'],
  ["robot.xml", JUNIT_XML, `${XML}<mujoco model="x">`],
  ["page_as.xml", JUNIT_XML, "<!doctype html>"],
  ["other.csv", CSV, "a,b\n"],
  ["obs_stats.npz", SAVED, npz("mean", "obs")],
  ["policy.pt", SAVED, "PK\x03\x04".padEnd(30, "\0") + "archive/data.pkl"],
];

test("checkOutputFiles() takes what is missing, empty or of its own kind", () => {
  const absent = { path: place("absent"), flag: "--report", kind: HTML_PAGE };
  const own = OWN.map(([name, kind, content]) => {
    return { path: place(name, content), flag: "--report", kind };
  });
  const none = { path: undefined, flag: "--junit", kind: JUNIT_XML };
  expect(() => checkOutputFiles([absent, ...own, none, none], [undefined])).not.toThrow();
});

for (const [name, kind, content] of FOREIGN) {
  test(`checkOutputFiles() keeps ${name} from a ${kind.name}`, async () => {
    const path = place(name, content);
    const message =
      `Cannot write "${path}": the file that is there is no ${kind.name}, ` +
      "name another with --report";
    expect(await refusalOf(() => checkOutputFiles([{ path, flag: "--report", kind }], []))).toEqual(
      { code: "CONFIG", message },
    );
  });
}

test("checkOutputFiles() refuses an input, and two outputs in one place", async () => {
  const input = place("input.html", "<!doctype html>");
  mkdirSync(place("real"));
  symlinkSync(place("real"), place("link"));
  const [one, two] = [place("real/x.html"), place("link/x.html")];
  const twins = [
    { path: one, flag: "--report" },
    { path: two, flag: "--junit" },
  ];
  expect([
    await refusalOf(() =>
      checkOutputFiles([{ path: input, flag: "--report", kind: HTML_PAGE }], [input]),
    ),
    await refusalOf(() => checkOutputFiles(twins, [])),
  ]).toEqual([
    {
      code: "CONFIG",
      message: `Cannot write "${input}": it is the input "${input}", name another output`,
    },
    {
      code: "USAGE",
      message: `Cannot write "${two}": --report goes there too, name another with --junit`,
    },
  ]);
});
