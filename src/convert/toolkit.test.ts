import { beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { testWith } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { sha256 } from "../base/files.ts";
import {
  exportDemoPolicy,
  OBS_STATS,
  type Program,
  run,
  runJson,
  start,
  TextStream,
} from "../cli/program_fixture.ts";
import { generateObservations } from "../dataset/generate_observations.ts";
import { writeNpy } from "../formats/npy.ts";
import { encodeOnnx, makeNode } from "../formats/onnx.ts";
import { parseRknn } from "../formats/rknn.ts";
import { readRecord } from "../policy/conversion_record.ts";
import { readObservationStats } from "../policy/normalizer.ts";
import { modelOf } from "../policy/policy_fixture.ts";
import { seededNetwork } from "../policy/recurrent_fixture.ts";
import { processesIn } from "../rknn_toolkit/toolkit_fixture.ts";

setDefaultTimeout(120_000);
const realTest = testWith("toolkit");

const directory = temporaryDirectory();
const temporary = join(directory, "tmp");
const place = (name: string): string => join(directory, name);
/** The toolkit splits its lists at spaces: no path of the user's may come near it. */
const dataset = place("calib obs.npy");
const GOOD = "RKNN, a good file of before";
const GOOD_RECORD = '{"lite3rl":"a good record"}';
let model: string;
let flags: readonly string[];

beforeAll(async () => {
  mkdirSync(temporary);
  model = await exportDemoPolicy(directory, "policy.onnx", [
    "--obs-stats",
    OBS_STATS,
    "--normalizer",
    "external",
    "--dynamic-batch",
  ]);
  const { data } = generateObservations(1100, 45, 1, await readObservationStats(OBS_STATS));
  writeFileSync(
    dataset,
    writeNpy({ dtype: "float32", shape: [1100, 45], data: Float32Array.from(data) }),
  );
  flags = ["--dataset", dataset, "--obs-stats", OBS_STATS];
});

const env = { TMPDIR: temporary };
const convert = (output: string, ...more: string[]) =>
  runJson(["convert", model, ...flags, "--output", output, ...more], { env });
/** What lies beside an output, by what was added to its name. */
const endings = (output: string): string[] =>
  readdirSync(directory)
    .filter((name) => name.startsWith(output.slice(directory.length + 1)))
    .map((name) => name.slice(output.length - directory.length - 1))
    .sort();
function good(name: string): string {
  writeFileSync(place(name), GOOD);
  writeFileSync(place(`${name}.json`), GOOD_RECORD);
  return place(name);
}
const isUntouched = (output: string): boolean =>
  readFileSync(output, "utf8") === GOOD && readFileSync(`${output}.json`, "utf8") === GOOD_RECORD;

describe("lite3rl convert", () => {
  realTest("proves a float16 file and describes it, the same bytes each time", async () => {
    const output = place("fp16.rknn");
    const { status, json, stderr } = await convert(output);
    expect({ status, json }).toMatchObject({
      status: 0,
      json: { pass: true, evidence: "toolkit-simulator", output, precision: "fp16", cure: null },
    });
    expect(stderr).toBe("fp16: import\nfp16: build\nfp16: simulate\n");
    const bytes = readFileSync(output);
    const record = readRecord(output, sha256(bytes));
    expect(record).toMatchObject({
      model: { sha256: sha256(readFileSync(model)) },
      rknn: { bytes: bytes.length },
      target: "rk3588",
      precision: "fp16",
      algorithm: null,
      float16Layers: [],
      toolkit: { "rknn-toolkit2": expect.stringMatching(/^2\./) },
      calibration: { rows: 1100, calibrationRows: 880, heldOutRows: 220, file: dataset },
      parity: { samples: 220, gate: 1e-3, pass: true },
      weights: { holds: true, unproven: [] },
      problems: [],
      forced: false,
    });
    expect(record.parity.mae).toBeWithin(1e-6, 1e-3);
    expect(record.weights.layers.map(({ dtype, differing }) => [dtype, differing])).toEqual(
      Array.from({ length: 8 }, (_, i) => [i % 2 === 0 ? "float16" : "float32", 0]),
    );
    expect(parseRknn(bytes)).toMatchObject({
      inputs: [{ name: "obs", shape: [1, 45] }],
      outputs: [{ name: "action", shape: [1, 12] }],
    });
    expect(endings(output)).toEqual(["", ".json"]);

    // Its recipe makes the same file again, elsewhere.
    const again = place("again.rknn");
    const recipe = record.recipe.map((word) => (word === output ? again : word));
    expect((await run(recipe, { env })).status).toBe(0);
    expect(sha256(readFileSync(again))).toBe(record.rknn.sha256);
  });

  realTest("rejects w8a8 with its numbers, beside a good file, and names what passes", async () => {
    const output = good("w8a8.rknn");
    const { status, json, stderr } = await convert(output, "--do-quant");
    expect({ status, json }).toMatchObject({
      status: 1,
      json: { pass: false, output: `${output}.rejected`, forced: false },
    });
    const { mae, pass, samples } = readRecord(
      `${output}.rejected`,
      sha256(readFileSync(`${output}.rejected`)),
    ).parity;
    expect({ pass, samples }).toEqual({ pass: false, samples: 220 });
    expect(mae).toBeWithin(1e-3, 0.1);
    expect(stderr).toMatch(
      /failed: MAE is 0\.0\d+, above 0\.001; kept as \S+w8a8\.rknn\.rejected, /,
    );
    expect(json.cure).toMatch(/^float16 passes by emulation \(MAE .*--precision fp16$/);
    expect(endings(output)).toEqual(["", ".json", ".rejected", ".rejected.json"]);
    expect(isUntouched(output)).toBe(true);

    // What passes later does not stand beside what had not.
    const later = await convert(output);
    expect(later.stderr).toContain(`removed ${output}.rejected, which an earlier conversion`);
    expect(endings(output)).toEqual(["", ".json"]);
  });

  realTest(
    "keeps a rejected file under its name with --force, and says so in its record",
    async () => {
      const output = good("forced.rknn");
      const { status, json } = await convert(output, "--do-quant", "--force");
      expect({ status, json }).toMatchObject({ status: 1, json: { output, forced: true } });
      const record = readRecord(output, sha256(readFileSync(output)));
      expect(record).toMatchObject({ forced: true, parity: { pass: false } });
      expect(record.problems).toEqual([expect.stringMatching(/^MAE is/)]);
    },
  );

  realTest("makes a hybrid of the layers that are named", async () => {
    const output = place("hybrid.rknn");
    const layers = "actor.0=fp16,actor.6=fp16";
    const { status, json } = await convert(
      output,
      "--precision",
      "hybrid",
      "--layers",
      layers,
      "--mae",
      "0.05",
    );
    expect({ status, json }).toMatchObject({ status: 0, json: { precision: "hybrid" } });
    const { weights, toolkitLayers } = readRecord(output, sha256(readFileSync(output)));
    expect(weights.holds).toBe(true);
    expect(toolkitLayers.length).toBeGreaterThan(1);
    const dtypes = weights.layers.filter(({ parameter }) => parameter === "weight");
    expect(dtypes.map(({ dtype }) => dtype)).toEqual(["float16", "int8", "int8", "float16"]);
  });

  realTest("searches the cheapest precision that passes", async () => {
    const output = place("auto.rknn");
    const { status, json } = await convert(output, "--precision", "auto", "--mae", "0.004");
    expect(status).toBe(0);
    const { precision, built, search } = json as {
      precision: string;
      built: { precision: string; parity: { mae: number } }[];
      search: { trials: { precision: string; emulated: { mae: number } }[] };
    };
    expect(precision).not.toBe("w8a8");
    expect(built.at(-1)!.parity.mae).toBeLessThanOrEqual(0.004);
    // Emulation foretold what the toolkit made.
    const chosen = search.trials.find(
      ({ emulated }) => Math.abs(emulated.mae / built.at(-1)!.parity.mae - 1) < 0.02,
    );
    expect(chosen?.precision).toBe(precision);
  });

  realTest("takes a recurrent policy, its states calibrated along the set", async () => {
    const lstm = place("lstm.onnx");
    writeFileSync(lstm, encodeOnnx(modelOf(seededNetwork("lstm", 2))));
    const rows = place("rows.npy");
    const { data } = generateObservations(100, 3, 2, undefined);
    writeFileSync(
      rows,
      writeNpy({ dtype: "float32", shape: [100, 3], data: Float32Array.from(data) }),
    );
    const args = ["convert", lstm, "--dataset", rows, "--do-quant", "--mae", "0.2"];
    const { status, json } = await runJson(args, { env });
    expect({ status, json }).toMatchObject({
      status: 0,
      json: {
        output: place("lstm.rknn"),
        conversion: { weights: { holds: true, unproven: ["rnn.l0/LSTM", "rnn.l1/LSTM"] } },
      },
    });
  });
});

/** Real checkpoints whose graphs are more than layers and activations, and what `export` needs. */
const OTHERS: readonly [checkpoint: string, flags: readonly string[]][] = [
  ["sb3_2_9_sac.zip", []],
  ["actor_critic_layer_norm.pt", ["--activation", "elu"]],
  ["rsl_rl_4_0_gru.pt", ["--activation", "swish"]],
];
for (const [checkpoint, more] of OTHERS) {
  realTest(`lite3rl convert proves ${checkpoint} in fp16 and in w8a8`, async () => {
    const source = join(import.meta.dir, "../../fixtures/checkpoints", checkpoint);
    const onnx = place(`${checkpoint}.onnx`);
    expect((await run(["export", source, "--output", onnx, ...more])).status).toBe(0);
    const rows = place("rows12.npy");
    const data = Float32Array.from(generateObservations(60, 12, 3, undefined).data);
    writeFileSync(rows, writeNpy({ dtype: "float32", shape: [60, 12], data }));
    for (const gate of [[], ["--do-quant", "--mae", "0.1"]]) {
      const args = ["convert", onnx, "--dataset", rows, "--force", ...gate];
      const { status, json } = await runJson(args, { env });
      expect({ status, problems: json.problems }).toEqual({ status: 0, problems: [] });
    }
  });
}

describe("lite3rl convert leaves a good file as it is when", () => {
  /** Begins a build of some seconds; resolves when the toolkit is in it. */
  async function begin(output: string): Promise<{ child: Program; stderr: TextStream }> {
    const slow = ["--do-quant", "--algorithm", "kl_divergence"];
    const child = start(["convert", model, ...flags, ...slow, "--output", output], { env });
    const stderr = new TextStream(child.stderr);
    await stderr.until(/w8a8: build/);
    return { child, stderr };
  }
  const jobs = (): string[] => readdirSync(temporary).map((name) => join(temporary, name));
  const isClean = (): boolean => jobs().length === 0;

  realTest("the toolkit takes too long", async () => {
    const output = good("slow.rknn");
    const args = ["convert", model, ...flags, "--output", output, "--timeout", "50ms"];
    const { status, stderr } = await run(args, { env });
    expect(status).toBe(7);
    expect(stderr).toContain("the toolkit took too long and was ended (after 0.05 s)");
    expect([isUntouched(output), isClean()]).toEqual([true, true]);
  });

  realTest("the toolkit's process is killed, and keeps its words", async () => {
    const output = good("killed.rknn");
    const { child, stderr } = await begin(output);
    const [pid = 0] = jobs().flatMap(processesIn);
    process.kill(pid, "SIGKILL");
    expect(await child.exited).toBe(6);
    const words = await stderr.rest();
    expect(words).toContain("the toolkit's process was killed (SIGKILL)");
    expect(words).toContain(`the toolkit's log is "${output}.log"\n`);
    expect(readFileSync(`${output}.log`, "utf8")).toContain("rknn-toolkit2 version");
    expect([isUntouched(output), isClean()]).toEqual([true, true]);
  });

  realTest("it is interrupted, and leaves nothing", async () => {
    const output = good("interrupted.rknn");
    const { child, stderr } = await begin(output);
    const [home = ""] = jobs();
    const before = processesIn(home).length;
    child.kill("SIGINT");
    expect(await child.exited).toBe(6);
    expect(await stderr.rest()).toMatch(/error: .*interrupted; nothing was written\n$/);
    expect([before, processesIn(home)]).toEqual([1, []]);
    expect([isUntouched(output), isClean(), endings(output)]).toEqual([true, true, ["", ".json"]]);
  });

  realTest("there is no place to write", async () => {
    const { status, json } = await convert("/proc/none/policy.rknn");
    expect({ status, json }).toMatchObject({
      status: 6,
      json: { error: { code: "NATIVE", message: expect.stringMatching(/^Cannot write "\/proc/) } },
    });
    expect(isClean()).toBe(true);
  });

  realTest("ONNX Runtime does not know an operator", async () => {
    const unknown = place("unknown.onnx");
    const { graph, ...rest } = modelOf(seededNetwork("gru", 1));
    const node = graph.node!.filter(({ opType }) => opType !== "Gemm");
    node.push(makeNode("Foo", node.at(-1)!.output!, ["action"]));
    writeFileSync(unknown, encodeOnnx({ ...rest, graph: { ...graph, node } }));
    const output = good("unknown.rknn");
    const { status, stderr } = await run(["convert", unknown, "--output", output], { env });
    expect(status).toBe(5);
    expect(stderr).toMatch(/error: Cannot run model ".*unknown\.onnx": ONNX Runtime refuses it: /);
    expect([isUntouched(output), isClean(), existsSync(`${output}.log`)]).toEqual([
      true,
      true,
      false,
    ]);
    rmSync(output);
  });
});
