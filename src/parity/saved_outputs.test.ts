import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { memorySource, sha256 } from "../base/files.ts";
import { readNpz } from "../formats/npz.ts";
import { failed, run, runJson } from "../cli/program_fixture.ts";
import { readObservations, readSamples } from "../dataset/observations.ts";
import { writeNpy } from "../formats/npy.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { killServices, startService } from "../serve/service_fixture.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
const tiny = join(directory, "tiny.onnx");
const place = (name: string): string => join(directory, name);

beforeAll(() => {
  const metadata = { normalizer: "folded" } as const;
  writeFileSync(tiny, encodeOnnx(modelOf(TINY_NETWORK, { metadata })));
});
afterAll(killServices);

/** What a file of outputs says of itself, as any reader of .npz finds it. */
async function readAbout(path: string): Promise<{ sides: { sha256?: string }[] }> {
  const about = (await readNpz(memorySource(readFileSync(path)))).get("about");
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(about?.data as Uint8Array)));
}

/** Runs one side on saved inputs and saves what it answers. */
async function record(side: string, inputs: string, outputs: string) {
  const flags = ["--model", tiny, "--dataset", place(inputs), "--save-outputs", place(outputs)];
  return (await runJson(["parity", side, ...(side === tiny ? flags.slice(2) : flags)])).json;
}

describe("parity in three steps", () => {
  test("compares outputs saved apart as it compares the sides themselves", async () => {
    const saveInputs = ["--samples", "32", "--seed", "7", "--save-inputs", place("inputs.npz")];
    await run(["parity", tiny, "emulated", ...saveInputs]);
    expect(await record(tiny, "inputs.npz", "onnx.npz")).toEqual({
      saved: place("onnx.npz"),
      label: tiny,
      evidence: "cpu",
      space: "raw",
      samples: 106,
    });
    await record("emulated", "inputs.npz", "fp16.npz");
    const limit = ["--mae", "0.01"];
    const dataset = ["--dataset", place("inputs.npz")];
    const direct = await runJson(["parity", tiny, "emulated", ...dataset, ...limit]);
    const later = await runJson(["parity", place("onnx.npz"), place("fp16.npz"), ...limit]);
    const labels = (a: string, b: string) => ({
      a: `${a} (${place("onnx.npz")})`,
      b: `${b} (${place("fp16.npz")})`,
    });
    expect(later).toEqual({
      status: 0,
      stderr: "",
      json: { ...direct.json, sides: labels(tiny, `emulated (${tiny})`) },
    });
    expect(Number(later.json.mae)).toBeGreaterThan(0);
    expect(later.json).toMatchObject({
      samples: 32,
      kinds: [
        { kind: "plausible", samples: 32, mae: later.json.mae },
        { kind: "edge", samples: 10 },
        { kind: "adversarial", samples: 64 },
      ],
    });
  });

  test("takes one side of several that were saved together", async () => {
    const both = place("both.npz");
    await run(["parity", tiny, "emulated", "--samples", "8", "--save-outputs", both]);
    expect(await run(["parity", both, tiny])).toEqual(
      failed(
        2,
        `Cannot take "${both}": it has several sides, name one of them: ` +
          `${both}:0 (${tiny}), ${both}:1 (emulated (${tiny}))`,
      ),
    );
    const { json } = await runJson(["parity", `${both}:0`, tiny]);
    expect(json).toMatchObject({
      pass: true,
      mae: 0,
      samples: 8,
      evidence: { a: "cpu", b: "cpu" },
    });
  });

  test("refuses outputs for other observations, and files that are none", async () => {
    const save = (seed: string, name: string) =>
      run(["parity", tiny, "--samples", "8", "--seed", seed, "--save-outputs", place(name)]);
    await save("1", "one.npz");
    await save("2", "two.npz");
    const inputs = place("plain.npz");
    await run(["parity", tiny, "emulated", "--samples", "8", "--save-inputs", inputs]);
    expect([
      await run(["parity", place("one.npz"), place("two.npz")]),
      await run(["parity", inputs, tiny]),
      await run(["parity", tiny]),
      await run(["parity", place("one.npz"), tiny, "--samples", "9"]),
    ]).toEqual([
      failed(
        1,
        `${place("two.npz")} answers other observations than the other side: save both sides' ` +
          "outputs for the same inputs, by --save-inputs and --dataset",
      ),
      failed(
        4,
        `Cannot read outputs "${inputs}": it has no array "about", ` +
          "need a file of parity --save-outputs",
      ),
      failed(
        2,
        `Cannot compare "${tiny}" with nothing: name another side, ` +
          "or --save-outputs outputs.npz to compare it elsewhere",
      ),
      failed(
        2,
        "--dataset and --samples are for sides that run, saved outputs bring their observations",
      ),
    ]);
  });
});

test("parity refuses one recording as both sides, and takes another run", async () => {
  const [one, again, both] = [place("run1.npz"), place("run2.npz"), place("pair.npz")];
  const words = ["parity", tiny, "--samples", "8", "--save-outputs"];
  await run([...words, one]);
  await run([...words, again]);
  await run(["parity", tiny, "emulated", "--samples", "8", "--save-outputs", both]);
  copyFileSync(one, place("copy.npz"));
  const refused = (a: string, label: string) =>
    failed(2, `Cannot compare ${label} (${a}) with itself: that could not fail, name another side`);
  const emulated = `emulated (${tiny})`;
  expect([
    await run(["parity", one, one]),
    await run(["parity", one, place("copy.npz")]),
    await run(["parity", `${both}:1`, `${both}:1`]),
  ]).toEqual([refused(one, tiny), refused(one, tiny), refused(`${both}:1`, emulated)]);
  const { sides } = await readAbout(both);
  const digest = sha256(readFileSync(tiny));
  expect(sides.map((side) => side.sha256)).toEqual([digest, digest]);
  const others = [
    [one, again],
    [`${both}:0`, one],
    [`${both}:0`, `${both}:1`],
  ] as const;
  for (const sides of others) {
    expect((await runJson(["parity", ...sides])).json).toMatchObject({ pass: true, samples: 8 });
  }
});

describe("parity of more than two sides", () => {
  test("compares each with the first on the same rows, and saves every side once", async () => {
    const socket = place("s");
    await startService(["--model", tiny, "--socket", socket, "--backend", "onnx"]);
    const sides = [tiny, "emulated", `unix:${socket}`];
    const { status, json } = await runJson([
      "parity",
      ...sides,
      "--save-outputs",
      place("all.npz"),
    ]);
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        pass: true,
        comparisons: [
          { pass: true, space: "raw", sides: { a: tiny, b: `emulated (${tiny})` } },
          { pass: true, space: "raw", sides: { a: tiny, b: `unix:${socket}` }, mae: 0 },
        ],
      },
    });
    const limit = ["--mae", "1e-12", "--report", place("all.html")];
    const missed = await run(["parity", ...sides, ...limit]);
    const failure = new RegExp(`${tiny} and emulated \\(${tiny}\\): MAE is [^;]*, above 1e-12`);
    expect(missed.stderr).toMatch(new RegExp(`^failed: ${failure.source}\\n$`));
    expect(readFileSync(place("all.html"), "utf8")).toMatch(failure);
    const again = await runJson(["parity", `${place("all.npz")}:0`, `${place("all.npz")}:1`]);
    expect(again.json.mae).toBe(json.mae);
  });
});

describe("parity of generated observations", () => {
  test("is judged by the plausible ones, and fails for what is not finite on any", async () => {
    // Overflows float16 at ±100 deviations and nowhere near the plausible.
    const metadata = { normalizer: "folded" } as const;
    const layers = TINY_NETWORK.layers.map((layer) =>
      layer.kind === "linear"
        ? { ...layer, weight: layer.weight.map((value) => value * 60) }
        : layer,
    );
    const steep = place("steep.onnx");
    writeFileSync(steep, encodeOnnx(modelOf({ ...TINY_NETWORK, layers }, { metadata })));
    const limits = ["--mae", "100", "--samples", "16"];
    const { status, stderr } = await run(["parity", steep, "emulated", ...limits]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: expect.stringMatching(
        /^failed: emulated \(.*\) gives -?Infinity for sample 2\d \(edge\), action\[0\]: 4 actions in 4 samples not finite, which no figure is of\n$/,
      ),
    });
    const inputs = place("steep.npz");
    await run(["parity", tiny, "emulated", "--samples", "16", "--save-inputs", inputs]);
    const all = await readSamples(inputs);
    const { data, rows } = await readObservations(inputs);
    expect([all.rows, rows]).toEqual([90, 16]);
    const plain = place("plain.npy");
    const shape = [rows, data.length / rows];
    writeFileSync(plain, writeNpy({ dtype: "float32", shape, data: Float32Array.from(data) }));
    const given = await runJson(["parity", steep, "emulated", "--mae", "100", "--dataset", plain]);
    expect(given).toMatchObject({ status: 0, json: { pass: true, samples: 16 } });
    expect(given.json).not.toHaveProperty("kinds");
  });
});

describe("the gate of parity", () => {
  test("holds the largest error, a quantile and the evidence, or says which not", async () => {
    const limits = ["--max", "1e-9", "--quantile", "0.5=1e-9", "--require", "npu"];
    const { status, stderr, json } = await runJson(["parity", tiny, "emulated", ...limits]);
    expect({ status, json }).toMatchObject({
      status: 1,
      json: {
        pass: false,
        gate: { mae: 1e-3, max: 1e-9, quantile: { quantile: 0.5, limit: 1e-9 } },
      },
    });
    expect(stderr).toMatch(
      /^failed: the largest error is \S+ \(edge, sample 1033\), above 1e-9; the 0.5 quantile of the errors is \S+, above 1e-9; the evidence is cpu and emulation, --require npu needs more\n$/,
    );
    const { stdout } = await run(["parity", tiny, "emulated", ...limits]);
    expect(stdout.trimEnd().split("\n").at(-1)).toBe(
      "evidence of npu: FAILED, the evidence is cpu and emulation, --require npu needs more",
    );
    // The limits that it says it needs are enough.
    const { mae, max } = json["requiredTolerance"] as Record<string, number>;
    const enough = ["--mae", `${mae}`, "--max", `${max}`];
    expect((await run(["parity", tiny, "emulated", ...enough])).status).toBe(0);
    const kept = ["--max", "1", "--quantile", "0.99=1", "--require", "emulation"];
    expect((await run(["parity", tiny, "emulated", ...kept])).status).toBe(0);
    expect(await run(["parity", tiny, "emulated", "--quantile", "2=1"])).toMatchObject({
      status: 2,
    });
  });
});
