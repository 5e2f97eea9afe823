/**
 * `--obs-stats` of `collect`: read where the policy needs them, written where they are new.
 */

import { existsSync } from "node:fs";
import { Lite3Error, quote } from "../base/errors.ts";
import { openFile, writeFileAtomic } from "../base/files.ts";
import { warn } from "../base/log.ts";
import type { ColumnStatistics } from "../dataset/column_statistics.ts";
import { openNpz, writeNpz } from "../formats/npz.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import { readModel } from "../runtime/open.ts";
import { isModelFile } from "./policies.ts";

/** Marks statistics that this verb wrote, so that it may write them again. */
const MARK = "collected_samples";

export interface StatsPlace {
  readonly read?: string;
  readonly write?: string;
}

/**
 * A model that may need statistics reads `--obs-stats`, as in serve and agent. For any other
 * policy, a model with its normalizer folded in, and recorded sets there is nothing to read: the
 * statistics of the samples are written there, and again over what this verb wrote before.
 */
export async function placeStats(
  path: string | undefined,
  policy: string | undefined,
): Promise<StatsPlace> {
  if (path === undefined) return {};
  const exists = existsSync(path);
  const isCollected = exists && (await isOurs(path));
  const isModel = policy !== undefined && isModelFile(policy);
  const use = isModel ? await normalizerUse(policy) : "folded";
  if (use === "folded") {
    if (!exists || isCollected) return { write: path };
    throw new Lite3Error(
      "CONFIG",
      `Cannot write statistics to ${quote(path)}: it exists and collect did not write it, and ` +
        `${policy === undefined ? "a recorded set" : `--policy ${policy}`} needs no normalizer; ` +
        "name a new file, or --no-obs-stats",
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

/** Writes mean and std of `samples` observations, marked as this verb's. */
export function writeStats(path: string, statistics: ColumnStatistics, samples: number): void {
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
