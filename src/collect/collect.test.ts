import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { memorySource } from "../base/files.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { readNpy, writeNpy } from "../formats/npy.ts";
import { readNpz } from "../formats/npz.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { collect, type CollectOptions } from "./collect.ts";
import { columnStatistics } from "../dataset/column_statistics.ts";
import { termCoverage } from "./coverage.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let model: string;
let count = 0;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
});

const place = (extension: string): string => join(directory, `f${count++}.${extension}`);

const options = (more: Partial<CollectOptions> = {}): CollectOptions => ({
  env: "lite3",
  policy: "random",
  samples: 40,
  output: place("npy"),
  start: "standing",
  rateHz: 50,
  seed: 0,
  ...more,
});

async function readStats(path: string) {
  const arrays = await readNpz(memorySource(readFileSync(path)));
  return Object.fromEntries(arrays);
}

describe("collect()", () => {
  const terms = [
    { name: "base_angular_velocity", size: 3 },
    { name: "projected_gravity", size: 3 },
    { name: "command", size: 3 },
    { name: "joint_position", size: 12 },
    { name: "joint_velocity", size: 12 },
    { name: "last_action", size: 12 },
  ] as const;

  test("writes float32 [samples, 45] and says what it covers", async () => {
    const asked = options({ policy: "stand", seed: 3 });
    const result = await collect(asked);
    const written = readNpy(readFileSync(asked.output));
    const data = written.data as Float32Array;
    expect([written.dtype, written.shape, data.every(Number.isFinite)]).toEqual([
      "float32",
      [40, 45],
      true,
    ]);
    expect(result).toEqual({
      output: asked.output,
      samples: 40,
      requested: 40,
      chosenFrom: 40,
      observationSize: 45,
      obsStats: null,
      policy: "the default pose held",
      environment: "lite3",
      sets: [],
      episodes: 1,
      falls: 0,
      seed: 3,
      coverage: termCoverage(data, 45, terms),
      duplicates: 0,
      commands: { covered: 1, cells: 65, standing: 0 },
      terrains: { covered: ["flat"], of: ["flat", "step"] },
      ranges: { doublings: [], enoughFrom: null },
      seconds: expect.any(Number),
    });
  });

  for (const policy of ["random", "stand", "model"]) {
    test(`writes the same bytes for the same seed with ${policy}`, async () => {
      const same =
        policy === "model" ? { policy: model, obsStats: OBS_STATS } : ({ policy } as const);
      const bytesFor = async (seed: number): Promise<string> => {
        const asked = options({ ...same, seed });
        await collect(asked);
        return readFileSync(asked.output).toString("base64");
      };
      const bytes = await bytesFor(5);
      expect(await bytesFor(5)).toBe(bytes);
      expect(await bytesFor(6)).not.toBe(bytes);
    });
  }

  test("writes mean and std of the samples where --obs-stats is missing", async () => {
    const obsStats = place("npz");
    const asked = options({ obsStats });
    expect((await collect(asked)).obsStats).toBe(obsStats);
    const data = readNpy(readFileSync(asked.output)).data as Float32Array;
    const { mean, std } = columnStatistics(data, 45);
    expect(await readStats(obsStats)).toEqual({
      mean: { dtype: "float32", shape: [45], data: mean },
      std: { dtype: "float32", shape: [45], data: std },
      collected_samples: { dtype: "int32", shape: [1], data: Int32Array.of(40) },
    });
  });

  test("writes its own statistics again", async () => {
    const obsStats = place("npz");
    await collect(options({ obsStats, samples: 10 }));
    expect((await collect(options({ obsStats, samples: 20 }))).obsStats).toBe(obsStats);
    expect((await readStats(obsStats)).collected_samples?.data).toEqual(Int32Array.of(20));
  });

  test("reads foreign statistics for a model, and leaves them as they are", async () => {
    const before = readFileSync(OBS_STATS);
    const result = await collect(options({ policy: model, obsStats: OBS_STATS }));
    expect([result.obsStats, result.policy]).toEqual([null, model]);
    expect(readFileSync(OBS_STATS)).toEqual(before);
  });

  test("does not run a model without the statistics it was exported for", async () => {
    const flags = ["--obs-stats", OBS_STATS, "--normalizer", "external"];
    const external = await exportDemoPolicy(directory, "external.onnx", flags);
    const obsStats = place("npz");
    const asked = options({ policy: external, obsStats });
    expect(await refusalOf(() => collect(asked))).toEqual({
      code: "NOT_FOUND",
      message:
        `Cannot read "${obsStats}": there is no such file, and "${external}" expects ` +
        "observations normalised by it; name the statistics it was trained with",
    });
    expect([existsSync(asked.output), existsSync(obsStats)]).toEqual([false, false]);
  });

  test("does not take statistics of its own for those a model was trained with", async () => {
    const unsaid = await exportDemoPolicy(directory, "unsaid.onnx", []);
    const obsStats = place("npz");
    await collect(options({ obsStats }));
    const before = readFileSync(obsStats);
    expect(await refusalOf(() => collect(options({ policy: unsaid, obsStats })))).toEqual({
      code: "CONFIG",
      message:
        `Cannot tell what "${obsStats}" is for: collect wrote it, and "${unsaid}" may need other ` +
        "statistics; name those it was trained with, or a new file",
    });
    expect(readFileSync(obsStats)).toEqual(before);
  });

  test("writes nothing when the model falls most of the time", async () => {
    const unsaid = await exportDemoPolicy(directory, "unsaid.onnx", []);
    const asked = options({ policy: unsaid, samples: 600 });
    expect(await refusalOf(() => collect(asked))).toEqual({
      code: "CHECK_FAILED",
      message: expect.stringMatching(
        /^The policy fell in \d+ of \d+ episodes, so nothing/,
      ) as string,
    });
    expect(existsSync(asked.output)).toBe(false);
  });

  test("never writes over foreign statistics, or what is no statistics at all", async () => {
    const text = place("npz");
    writeFileSync(text, "notes");
    for (const [policy, obsStats] of [
      ["random", OBS_STATS],
      ["stand", text],
    ] as const) {
      const before = readFileSync(obsStats);
      const asked = options({ policy, obsStats });
      expect(await refusalOf(() => collect(asked))).toEqual({
        code: "CONFIG",
        message:
          `Cannot write statistics to "${obsStats}": it exists and collect did not write it, and ` +
          `--policy ${policy} needs no normalizer; name a new file, or --no-obs-stats`,
      });
      expect(readFileSync(obsStats)).toEqual(before);
      expect(existsSync(asked.output)).toBe(false);
    }
  });

  test("leaves output and statistics untouched when it fails", async () => {
    const tiny = place("onnx");
    const metadata = { normalizer: "folded" } as const;
    writeFileSync(tiny, encodeOnnx(modelOf(TINY_NETWORK, { metadata })));
    const failing: Partial<CollectOptions>[] = [
      { policy: tiny },
      { policy: model },
      { policy: place("onnx") },
      { policy: "ramdom" },
      { env: "lite4" },
      { env: "lite3:terrain=step,height=9" },
    ];
    for (const more of failing) {
      const obsStats = more.policy === model ? undefined : place("npz");
      const asked = options({ ...more, obsStats });
      writeFileSync(asked.output, "before");
      await refusalOf(() => collect(asked));
      expect(readFileSync(asked.output, "utf8")).toBe("before");
      if (obsStats !== undefined) expect(existsSync(obsStats)).toBe(false);
    }
  });

  test("refuses a mistyped --obs-stats for a model that needs it", async () => {
    const obsStats = place("npz");
    const asked = options({ policy: model, obsStats });
    expect(await refusalOf(() => collect(asked))).toEqual({
      code: "NOT_FOUND",
      message:
        `Cannot read "${obsStats}": there is no such file, and "${model}" expects observations ` +
        "normalised by it; name the statistics it was trained with",
    });
    expect([existsSync(obsStats), existsSync(asked.output)]).toEqual([false, false]);
  });

  test("never writes over its own inputs", async () => {
    const before = readFileSync(model);
    for (const more of [{ output: model }, { output: OBS_STATS }]) {
      await refusalOf(() => collect(options({ policy: model, obsStats: OBS_STATS, ...more })));
    }
    expect(readFileSync(model).equals(before)).toBe(true);
    expect((await readStats(OBS_STATS)).mean?.shape).toEqual([45]);
  });

  test("starts lying robots and other rates", async () => {
    const { episodes, falls } = await collect(
      options({ policy: "stand", start: "lying", rateHz: 100, samples: 5 }),
    );
    expect({ episodes, falls }).toEqual({ episodes: 1, falls: 0 });
  });
});

describe("collect, the verb", () => {
  test("takes recorded sets in place of a rollout, and no flags of one", async () => {
    const [set, output] = [place("npy"), place("npy")];
    writeFileSync(set, writeNpy({ dtype: "float32", shape: [2, 1], data: Float32Array.of(1, 2) }));
    const ran = await runJson(["collect", set, set, "--output", output, "--terms", "x:1"]);
    expect(ran).toMatchObject({ status: 0, json: { samples: 4, duplicates: 2 } });
    for (const flags of [
      ["--env", "lite3"],
      ["--policy", "stand"],
      ["--rate", "50"],
    ]) {
      expect(await run(["collect", set, ...flags])).toEqual(
        failed(
          2,
          `Cannot use ${flags[0]} with recorded sets: nothing is rolled out, leave it or the ` +
            "sets out",
        ),
      );
    }
  });

  test("prints its document with --json, and its table without", async () => {
    const output = place("npy");
    const flags = ["collect", "--policy", "stand", "--samples", "10", "--output", output];
    const [asJson, asText] = [await runJson(flags), await run(flags)];
    expect(asJson).toMatchObject({
      status: 0,
      stderr: "",
      json: { output, samples: 10, observationSize: 45, episodes: 1, falls: 0, seed: 0 },
    });
    const [head, ...lines] = asText.stdout.trimEnd().split("\n");
    expect(head).toMatch(/^term +size +min +max +std +constant +saturated +outliers +values$/);
    expect(lines.slice(0, 6).map((line) => line.split(" ")[0])).toEqual([
      "base_angular_velocity",
      "projected_gravity",
      "command",
      "joint_position",
      "joint_velocity",
      "last_action",
    ]);
    expect(lines.at(-1)).toMatch(
      /^\S+\.npy: 10 observations of 45 numbers from 1 episode \(the default pose held, 0 falls\)/,
    );
  });
});
