import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { writeNpz } from "../formats/npz.ts";
import { evaluate, type NormalizeLayer } from "../policy/network.ts";
import { createNormalizer, readObservationStats } from "../policy/normalizer.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import type { Checkpoint } from "../policy/read_checkpoint.ts";
import { openPolicy } from "../runtime/open.ts";
import {
  type NormalizerChoice,
  type PlacedNormalizer,
  placeNormalizer,
  writePlacedStats,
} from "./place_normalizer.ts";

const root = temporaryDirectory();
const directory = join(root, "exports");
const output = join(directory, "policy.onnx");
const written = join(directory, "obs_stats.npz");
const obsStats = join(root, "obs_stats.npz");
const floats = (...values: number[]) => Float32Array.from(values);
const vector = (...values: number[]) =>
  ({ dtype: "float32", shape: [values.length], data: floats(...values) }) as const;
writeFileSync(obsStats, writeNpz({ mean: vector(5, 6), std: vector(2, 0) }));

beforeEach(() => mkdirSync(directory));
afterEach(() => rmSync(directory, { recursive: true }));

const OWN: NormalizeLayer = { kind: "normalize", mean: floats(1, -2), divisor: floats(0.5, 4) };
const checkpointWith = (normalizer?: NormalizeLayer): Checkpoint => ({
  network: TINY_NETWORK,
  normalizer,
  layout: "actor_critic",
  activation: "elu",
  digest: "5eed",
});

interface Given {
  readonly choice?: NormalizerChoice;
  readonly obsStats?: string;
  readonly output?: string;
}

const place = (normalizer: NormalizeLayer | undefined, given: Given = {}) =>
  placeNormalizer(checkpointWith(normalizer), { output, ...given });

/** Places, and keeps what was said on stderr. */
async function placeAloud(normalizer: NormalizeLayer | undefined, given: Given) {
  const results: PlacedNormalizer[] = [];
  const said = await linesDuring(async () => results.push(await place(normalizer, given)));
  return { placed: present(results[0]), said };
}

const folded = (normalizer: NormalizeLayer): PlacedNormalizer => ({
  network: { ...TINY_NETWORK, layers: [normalizer, ...TINY_NETWORK.layers] },
  use: "folded",
});
const stats = createNormalizer({ mean: floats(5, 6), std: floats(2, 0) });
const GIVEN: NormalizeLayer = { kind: "normalize", mean: stats.mean, divisor: stats.divisor };
const DROPPED =
  "warning: --normalizer drop: the policy acts otherwise than the checkpoint's, which normalises";

describe("placeNormalizer()", () => {
  const CASES: readonly [
    what: string,
    normalizer: NormalizeLayer | undefined,
    given: Given,
    placed: PlacedNormalizer,
    said: readonly string[],
  ][] = [
    ["folds the checkpoint's, unless told otherwise", OWN, {}, folded(OWN), []],
    ["folds the checkpoint's when told to", OWN, { choice: "fold" }, folded(OWN), []],
    [
      "drops the checkpoint's, and warns",
      OWN,
      { choice: "drop" },
      { network: TINY_NETWORK, use: "none" },
      [DROPPED],
    ],
    ["folds --obs-stats where the checkpoint has none", undefined, { obsStats }, folded(GIVEN), []],
    [
      "leaves --obs-stats outside where the checkpoint has none",
      undefined,
      { choice: "external", obsStats },
      { network: TINY_NETWORK, use: "external", digest: stats.digest },
      [],
    ],
    [
      "says that there is none",
      undefined,
      {},
      { network: TINY_NETWORK, use: "none" },
      [
        "no normalizer in the checkpoint: if it was trained on normalised observations, give " +
          "--obs-stats here or to serve",
      ],
    ],
  ];
  for (const [what, normalizer, given, placed, said] of CASES) {
    test(what, async () => {
      expect(await placeAloud(normalizer, given)).toEqual({ placed, said: [...said] });
      expect(readdirSync(directory)).toEqual([]);
    });
  }

  const limited = { ...OWN, limit: 5 };
  const narrow = { ...OWN, divisor: floats(1, 0.0009) };
  const refused: readonly (readonly [
    what: string,
    normalizer: NormalizeLayer | undefined,
    given: Given,
    code: "CONFIG" | "USAGE" | "UNSUPPORTED",
    message: string,
  ])[] = [
    [
      "two normalizers",
      OWN,
      { obsStats },
      "CONFIG",
      `Cannot use --obs-stats "${obsStats}": the checkpoint has a normalizer of its own, and two ` +
        "would be applied; leave --obs-stats out",
    ],
    ...[OWN, undefined].map(
      (normalizer) =>
        [
          `to drop ${normalizer === undefined ? "nothing" : "the checkpoint's"} and use statistics`,
          normalizer,
          { choice: "drop", obsStats },
          "USAGE",
          `--normalizer drop and --obs-stats "${obsStats}" contradict each other: ` +
            "what is dropped needs no statistics; leave one of them out",
        ] as const,
    ),
    [
      "to leave a limit outside",
      limited,
      { choice: "external" },
      "UNSUPPORTED",
      "Cannot leave the normalizer outside: it cuts off at ±5, which the service does not; fold " +
        "it in by --normalizer fold",
    ],
    [
      "to leave outside what divides by less than the service does",
      narrow,
      { choice: "external" },
      "UNSUPPORTED",
      `Cannot leave the normalizer outside: it divides column 1 by ${Math.fround(0.0009)}, the ` +
        "service by at least 0.001; fold it in by --normalizer fold",
    ],
    ...(["fold", "external", "drop"] as const).map((choice) => {
      const cure = choice === "drop" ? "leave it out" : "it needs --obs-stats obs_stats.npz";
      const need = `the checkpoint has none, ${cure}`;
      const message = `--normalizer ${choice}: ${need}`;
      return [`${choice} of nothing`, undefined, { choice }, "USAGE", message] as const;
    }),
    [
      "an output of the name that the statistics need",
      OWN,
      { choice: "external", output: written },
      "CONFIG",
      `Cannot write "${written}": the normalizer's statistics need that name; choose another by ` +
        "--output",
    ],
  ];
  for (const [what, normalizer, given, code, message] of refused) {
    test(`refuses ${what}`, async () => {
      expect(await refusalOf(() => place(normalizer, given))).toEqual({ code, message });
    });
  }

  test("refuses to write over another file, but takes the same once more", async () => {
    const given = { choice: "external" } as const;
    writePlacedStats(await place(OWN, given));
    const bytes = readFileSync(written);
    writePlacedStats(await place(OWN, given));
    writeFileSync(written, "other statistics");
    expect([readdirSync(directory), await refusalOf(() => place(OWN, given))]).toEqual([
      ["obs_stats.npz"],
      {
        code: "CONFIG",
        message:
          `Cannot write "${written}": another file has that name; move it, or choose another ` +
          "directory by --output",
      },
    ]);
    expect([readFileSync(written, "utf8"), bytes.length > 0]).toEqual(["other statistics", true]);
  });
});

describe("an external normalizer", () => {
  test("is written as the numbers that the service divides by", async () => {
    const placed = await place(OWN, { choice: "external" });
    writePlacedStats(placed);
    const read = await readObservationStats(written);
    expect({ read, digest: placed.digest, use: placed.use, network: placed.network }).toEqual({
      read: { mean: OWN.mean, std: OWN.divisor },
      digest: createNormalizer(read).digest,
      use: "external",
      network: TINY_NETWORK,
    });
  });

  test("gives the actions that the folded one gives, and is asked for", async () => {
    const placed = await place(OWN, { choice: "external" });
    writePlacedStats(placed);
    const metadata = { normalizer: placed.use, normalizerDigest: present(placed.digest) };
    writeFileSync(output, encodeOnnx(modelOf(placed.network, { metadata })));
    const network = folded(OWN).network;
    using policy = await openPolicy(output, written);
    const action = new Float32Array(1);
    for (const observation of [floats(0, 0), floats(1, -2), floats(-3, 40)]) {
      await policy.act(observation, action, policy.backend.createState());
      expect(action[0]).toBeCloseTo(present(evaluate(network, observation)[0]), 5);
    }
    expect([
      (await refusalOf(() => openPolicy(output, undefined))).message,
      (await refusalOf(() => openPolicy(output, obsStats))).message.split(" (")[0],
    ]).toEqual([
      `Cannot run "${output}": it expects normalised observations, need --obs-stats obs_stats.npz`,
      `Cannot apply "${obsStats}" to "${output}": it was exported for other statistics`,
    ]);
  });
});
