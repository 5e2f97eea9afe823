import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import type { ErrorCode } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { decodeOnnx, metadata } from "../formats/onnx.ts";
import { TINY_STATE, writeCheckpoint } from "../policy/checkpoint_fixture.ts";
import { decodeMetadata } from "../policy/metadata.ts";
import { DEMO_POLICY, demoNormalizer, readGoldenActions } from "../policy/policy_fixture.ts";
import { openPolicy } from "../runtime/open.ts";
import { exportCheckpoint, type ExportOptions, type ExportResult } from "./export_checkpoint.ts";

const root = temporaryDirectory();
const directory = join(root, "exports");
const output = join(directory, "policy.onnx");
const tiny = join(root, "tiny.pt");
writeFileSync(tiny, writeCheckpoint(TINY_STATE));

beforeEach(() => mkdirSync(directory));
afterEach(() => rmSync(directory, { recursive: true }));

const { checkpoint, config, obsStats } = DEMO_POLICY;
const TINY = { checkpoint: tiny, activation: "elu", output };
const DEMO = { checkpoint, config, output };

type Options = Partial<ExportOptions> & { readonly checkpoint: string };

interface Spoken {
  readonly result: ExportResult;
  readonly said: readonly string[];
}

/** Exports, and keeps what was said on stderr. */
async function exportAloud(options: Options): Promise<Spoken> {
  const defaults = { output, outputName: "action", dynamicBatch: false, check: true };
  const results: ExportResult[] = [];
  const said = await linesDuring(async () =>
    results.push(await exportCheckpoint({ ...defaults, ...options })),
  );
  return { result: present(results[0]), said };
}

const exported = async (options: Options): Promise<ExportResult> =>
  (await exportAloud(options)).result;

const NO_STATS =
  "no normalizer in the checkpoint: if it was trained on normalised observations, " +
  "give --obs-stats here or to serve";

describe("exportCheckpoint()", () => {
  test("writes the file and says what it is", async () => {
    const { result, said } = await exportAloud(TINY);
    const bytes = readFileSync(output);
    const digest = sha256(readFileSync(tiny));
    expect([said, result]).toEqual([
      [NO_STATS],
      {
        output,
        bytes: bytes.length,
        sha256: sha256(bytes),
        source: { path: tiny, sha256: digest, layout: "actor_critic" },
        widths: "2-3-1",
        parameters: 13,
        activation: "elu",
        normalizer: "none",
        obsStats: null,
        modelYaml: null,
        dynamicBatch: false,
        check: {
          max: expect.any(Number) as number,
          samples: 64,
          tolerance: 1e-5,
          evidence: "cpu",
        },
        seconds: expect.any(Number) as number,
      },
    ]);
    expect([...metadata(decodeOnnx(bytes))]).toEqual([
      ["lite3rl.source_sha256", digest],
      ["lite3rl.layout", "actor_critic"],
      ["lite3rl.activation", "elu"],
      ["lite3rl.normalizer", "none"],
      ["lite3rl.version", version],
    ]);
  });

  test("gives the same bytes each time", async () => {
    const first = await exported(DEMO);
    const second = await exported({ ...DEMO, output: join(directory, "again.onnx") });
    expect([first.sha256, first.bytes]).toEqual([second.sha256, second.bytes]);
  });

  for (const [normalizer, use] of [
    ["fold", "folded"],
    [undefined, "folded"],
    ["external", "external"],
  ] as const) {
    test(`records statistics as ${use} with --normalizer ${normalizer ?? "left out"}`, async () => {
      const { result, said } = await exportAloud({ ...DEMO, obsStats, normalizer });
      const { digest } = await demoNormalizer();
      const { normalizer: recorded, normalizerDigest } = present(
        decodeMetadata(decodeOnnx(readFileSync(output))),
      );
      expect([said, result.normalizer, result.parameters, recorded, normalizerDigest]).toEqual([
        [],
        use,
        53_708,
        use,
        use === "external" ? digest : undefined,
      ]);
    });
  }

  for (const dynamicBatch of [false, true]) {
    for (const normalizer of ["fold", "external"] as const) {
      const batch = dynamicBatch ? "dynamic" : "static";
      test(`keeps the golden actions: ${batch} batch, normalizer ${normalizer}`, async () => {
        await exported({ ...DEMO, obsStats, normalizer, dynamicBatch });
        using policy = await openPolicy(output, normalizer === "fold" ? undefined : obsStats);
        expect(await worstGoldenDifference(policy)).toBeLessThanOrEqual(1e-5);
      });
    }
  }

  test("keeps the golden actions where the statistics are given only when it runs", async () => {
    await exported(DEMO);
    using policy = await openPolicy(output, obsStats);
    expect(await worstGoldenDifference(policy)).toBeLessThanOrEqual(1e-5);
  });

  test("names the output as asked and makes the directory", async () => {
    const deep = join(directory, "new", "deeper", "policy.onnx");
    await exported({ ...TINY, output: deep, outputName: "joint_targets" });
    const { graph } = decodeOnnx(readFileSync(deep));
    expect([graph.output?.map(({ name }) => name), readdirSync(join(deep, ".."))]).toEqual([
      ["joint_targets"],
      ["policy.onnx"],
    ]);
  });

  test("writes without a check only when told to, and warns", async () => {
    const { result, said } = await exportAloud({ ...TINY, check: false });
    expect([said, result.check, readdirSync(directory)]).toEqual([
      [NO_STATS, `warning: ${output} was not run in ONNX Runtime (--no-check)`],
      null,
      ["policy.onnx"],
    ]);
  });
});

describe("exportCheckpoint() refuses", () => {
  const spoiled = join(root, "spoiled.pt");
  const values = [1, 2, 3, Number.NaN, 5, 6];
  writeFileSync(
    spoiled,
    writeCheckpoint({ ...TINY_STATE, "actor.0.weight": { shape: [3, 2], values } }),
  );

  const refused: readonly [what: string, options: Options, code: ErrorCode, reason: string][] = [
    ["a missing checkpoint", { checkpoint: join(root, "absent.pt") }, "NOT_FOUND", "absent.pt"],
    ["a checkpoint without an activation", { checkpoint: tiny }, "CONFIG", "--activation elu"],
    ["weights that are NaN", { ...TINY, checkpoint: spoiled }, "MALFORMED", "holds NaN"],
    ["an unknown activation", { ...TINY, activation: "tahn" }, "CONFIG", "from --activation"],
    ["a config of another actor", { ...TINY, activation: undefined, config }, "CONFIG", "obs_dim"],
    ["statistics of another width", { ...TINY, obsStats }, "CONFIG", "they have 45 values"],
    [
      "a normalizer without statistics",
      { ...TINY, normalizer: "external" },
      "USAGE",
      "--normalizer external: the checkpoint has none, it needs --obs-stats obs_stats.npz",
    ],
    [
      "an output named like the input",
      { ...TINY, outputName: "obs" },
      "USAGE",
      '--output-name "obs" is taken inside of the model, need another such as action',
    ],
  ];
  for (const [what, options, code, reason] of refused) {
    test(`${what}, and leaves the old file and nothing else`, async () => {
      writeFileSync(output, "the old file");
      const refusal = await refusalOf(() => exported(options));
      expect([refusal, readFileSync(output, "utf8"), readdirSync(directory)]).toEqual([
        { code, message: expect.stringContaining(reason) as string },
        "the old file",
        ["policy.onnx"],
      ]);
    });
  }

  test("an output that is one of the inputs, also by a link", async () => {
    const copy = join(directory, "policy.pt");
    copyFileSync(tiny, copy);
    symlinkSync(copy, output);
    const refusals = [copy, output].map((path) =>
      refusalOf(() => exported({ ...TINY, checkpoint: copy, output: path })),
    );
    const refusal = (path: string) => {
      const message = `Cannot write "${path}": it is the input "${copy}", name another output`;
      return { code: "CONFIG", message } as const;
    };
    expect(await Promise.all(refusals)).toEqual([refusal(copy), refusal(output)]);
    expect(readFileSync(copy)).toEqual(readFileSync(tiny));
  });

  const gru = join(import.meta.dir, "../../fixtures/checkpoints/rsl_rl_4_0_gru.pt");
  const taken: readonly [what: string, options: Options, name: string][] = [
    ["a weight's", TINY, "actor.0.weight"],
    ["an inner value's", TINY, "actor.0/Gemm"],
    ["the state's input", { ...TINY, checkpoint: gru, activation: "swish" }, "h_in"],
    ["the state's output", { ...TINY, checkpoint: gru, activation: "swish" }, "h_out"],
  ];
  for (const [what, options, outputName] of taken) {
    test(`an output name that is taken: ${what}`, async () => {
      expect(await refusalOf(() => exported({ ...options, outputName }))).toEqual({
        code: "USAGE",
        message:
          `--output-name "${outputName}" is taken inside of the model, ` +
          "need another such as action",
      });
    });
  }

  test("an output that is a directory", async () => {
    mkdirSync(output);
    expect([await refusalOf(() => exported(TINY)), readdirSync(directory)]).toEqual([
      {
        code: "CONFIG",
        message: `Cannot write "${output}": it is a directory, name a file`,
      },
      ["policy.onnx"],
    ]);
  });
});

/** Largest |difference| to torch's actions, from raw observations. */
async function worstGoldenDifference(
  policy: Awaited<ReturnType<typeof openPolicy>>,
): Promise<number> {
  const { rows, observations, actions } = await readGoldenActions();
  const action = new Float32Array(policy.actionSize);
  const state = policy.backend.createState();
  let worst = 0;
  for (let row = 0; row < rows; row++) {
    await policy.act(observations.subarray(row * 45, (row + 1) * 45), action, state);
    const errors = action.map((x, i) => Math.abs(x - present(actions[row * 12 + i])));
    worst = Math.max(worst, ...errors);
  }
  return worst;
}
