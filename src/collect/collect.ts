/**
 * Observations of a policy in an environment, as the calibration set of the conversion. They are
 * kept as the robot has them, before any normalizer.
 */

import { existsSync } from "node:fs";
import { Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, openFile, writeFileAtomic } from "../base/files.ts";
import { warn } from "../base/log.ts";
import { progress } from "../cli/output.ts";
import { type ColumnStatistics, columnStatistics } from "../dataset/column_statistics.ts";
import { openEnvironment } from "../environment/open.ts";
import { writeNpy } from "../formats/npy.ts";
import { openNpz, writeNpz } from "../formats/npz.ts";
import { type TermCoverage, termCoverage } from "./coverage.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import { readModel } from "../runtime/open.ts";
import { isBuiltIn, openActor } from "./policies.ts";
import { rollOut } from "./rollout.ts";

/** Marks statistics that this verb wrote, so that it may write them again. */
const MARK = "collected_samples";

export interface CollectOptions {
  readonly env: string;
  /** `random`, `stand` or an .onnx file. */
  readonly policy: string;
  readonly samples: number;
  readonly output: string;
  readonly obsStats?: string | undefined;
  readonly start: "standing" | "lying";
  readonly rateHz: number;
  readonly seed: number;
}

/** The document of `collect --json`. */
export interface CollectResult {
  readonly output: string;
  readonly samples: number;
  readonly observationSize: number;
  /** Where mean and std of the samples were written, if they were. */
  readonly obsStats: string | null;
  readonly policy: string;
  readonly environment: string;
  readonly episodes: number;
  readonly falls: number;
  readonly seed: number;
  readonly coverage: readonly TermCoverage[];
  readonly seconds: number;
}

/** Writes float32 [samples, N] to `output`. */
export async function collect(options: CollectOptions): Promise<CollectResult> {
  const started = performance.now();
  const { env, policy, samples, output, start, rateHz, seed } = options;
  checkOutput(output, [policy, options.obsStats]);
  const stats = await placeStats(options.obsStats, policy);
  if (stats.write !== undefined) checkOutput(stats.write, [policy]);
  using environment = await openEnvironment(env, { start, rateHz });
  using actor = await openActor(policy, environment, seed, stats.read);
  const bar = progress("collect", samples);
  const { observations, episodes, falls } = await rollOut(
    environment,
    actor,
    samples,
    seed,
    bar.update,
  ).finally(bar.finish);
  if (!isBuiltIn(policy) && falls > episodes / 2) {
    throw new Lite3Error(
      "CHECK_FAILED",
      `The policy fell in ${falls} of ${episodes} episodes, so nothing was written: such a set ` +
        "is not what the robot sees; does it need --obs-stats, or other ones?",
    );
  }
  const { observationSize, observationTerms } = environment;
  const shape = [samples, observationSize];
  writeFileAtomic(output, writeNpy({ dtype: "float32", shape, data: observations }));
  const statistics = columnStatistics(observations, observationSize);
  if (stats.write !== undefined) writeStats(stats.write, statistics, samples);
  return {
    output,
    samples,
    observationSize,
    obsStats: stats.write ?? null,
    policy: actor.label,
    environment: env,
    episodes,
    falls,
    seed,
    coverage: termCoverage(statistics, observationTerms),
    seconds: (performance.now() - started) / 1000,
  };
}

interface StatsPlace {
  readonly read?: string;
  readonly write?: string;
}

/**
 * A model that may need statistics reads `--obs-stats`, as in serve and agent. For `random`,
 * `stand` and a model with its normalizer folded in there is nothing to read: the statistics of
 * the samples are written there, and again over what this verb wrote before.
 */
async function placeStats(path: string | undefined, policy: string): Promise<StatsPlace> {
  if (path === undefined) return {};
  const exists = existsSync(path);
  const isCollected = exists && (await isOurs(path));
  const use = isBuiltIn(policy) ? "folded" : await normalizerUse(policy);
  if (use === "folded") {
    if (!exists || isCollected) return { write: path };
    throw new Lite3Error(
      "CONFIG",
      `Cannot write statistics to ${quote(path)}: it exists and collect did not write it, and ` +
        `--policy ${policy} needs no normalizer; name a new file`,
    );
  }
  if (exists && use === "none" && isCollected) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot tell what ${quote(path)} is for: collect wrote it, and ${quote(policy)} may need ` +
        "other statistics; name those it was trained with, or a new file",
    );
  }
  if (exists) return { read: path };
  if (use === "external") {
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot read ${quote(path)}: there is no such file, and ${quote(policy)} expects ` +
        "observations normalised by it; name the statistics it was trained with",
    );
  }
  warn(
    `${path} does not exist: ${policy} acts on observations as they are, and their mean and std ` +
      "are written there",
  );
  return { write: path };
}

async function normalizerUse(policy: string): Promise<NormalizerUse> {
  const { metadata } = await readModel(policy);
  return metadata?.normalizer ?? "none";
}

async function isOurs(path: string): Promise<boolean> {
  using source = openFile(path);
  try {
    return (await openNpz(source)).names.includes(MARK);
  } catch {
    return false;
  }
}

function writeStats(path: string, statistics: ColumnStatistics, samples: number): void {
  const shape = [statistics.mean.length];
  writeFileAtomic(
    path,
    writeNpz({
      mean: { dtype: "float32", shape, data: statistics.mean },
      std: { dtype: "float32", shape, data: statistics.std },
      [MARK]: { dtype: "int32", shape: [1], data: Int32Array.of(samples) },
    }),
  );
}
