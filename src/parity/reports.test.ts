/**
 * The files that parity leaves: the same for the same inputs, and there when it fails.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { failed, run } from "../cli/program_fixture.ts";
import { RKNN_FIXTURES } from "../runtime/rknn_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
const [onnx, w8a8] = ["small.onnx", "small.w8a8.rknn"].map((name) => join(RKNN_FIXTURES, name));

const TIME = /<time datetime="[^"]*">[^<]*<\/time>/;

test("parity leaves its page and JUnit file when it fails, the same but for the time", async () => {
  const runs = ["one", "two"].map(async (name) => {
    const [page, junit] = [place(`${name}.html`), place(`${name}.xml`)];
    const words = ["parity", onnx ?? "", w8a8 ?? "", "--samples", "64"];
    const { status } = await run([...words, "--report", page, "--junit", junit]);
    const text = readFileSync(page, "utf8");
    expect(text).toMatch(TIME);
    return { status, page: text.replace(TIME, ""), junit: readFileSync(junit, "utf8") };
  });
  const [one, two] = await Promise.all(runs);
  expect(one?.status).toBe(1);
  expect(one?.page).toContain("lite3rl parity: failed");
  expect(one?.junit).toContain("<failure message=");
  expect(two).toEqual(one as never);
});

test("parity refuses a report that is its own input, and one of no comparison", async () => {
  expect(await run(["parity", "emulated", "--model", onnx ?? "", "--report", place("x")])).toEqual(
    failed(
      2,
      'Cannot compare "emulated" with nothing: name another side, ' +
        "or --save-outputs outputs.npz to compare it elsewhere",
    ),
  );
  const saving = ["parity", onnx ?? "", "--save-outputs", place("o.npz")];
  expect(await run([...saving, "--junit", place("x")])).toEqual(
    failed(
      2,
      "--report, --junit, --bisect and --closed-loop are for a comparison, name another side",
    ),
  );
  const own = await run(["parity", onnx ?? "", "emulated", "--report", onnx ?? ""]);
  expect(own.status).toBe(2);
});
