/**
 * What becomes of the observation normalizer: folded into the network, left outside with its
 * statistics in a file, or dropped. It comes from the checkpoint or from `--obs-stats`, never both.
 */

import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { notice, warn } from "../base/log.ts";
import { writeNpz } from "../formats/npz.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import type { Network, NormalizeLayer } from "../policy/network.ts";
import {
  checkStatsSize,
  createNormalizer,
  readObservationStats,
  STD_FLOOR,
} from "../policy/normalizer.ts";
import type { Checkpoint } from "../policy/read_checkpoint.ts";

export type NormalizerChoice = "fold" | "external" | "drop";

export interface PlacedNormalizer {
  readonly network: Network;
  readonly use: NormalizerUse;
  /** Names the statistics that an external normalizer must have. */
  readonly digest?: string;
  /** Statistics to be written beside the ONNX, when it is. */
  readonly stats?: { readonly path: string; readonly bytes: Uint8Array };
}

/** Decides without writing anything. Throws where the choice cannot give the same actions. */
export async function placeNormalizer(
  checkpoint: Checkpoint,
  options: {
    readonly obsStats?: string | undefined;
    readonly choice?: NormalizerChoice | undefined;
    readonly output: string;
  },
): Promise<PlacedNormalizer> {
  const { network, normalizer } = checkpoint;
  const { obsStats, choice = "fold" } = options;
  if (obsStats !== undefined && choice === "drop") {
    throw new Lite3Error(
      "USAGE",
      `--normalizer drop and --obs-stats ${quote(obsStats)} contradict each other: what is ` +
        "dropped needs no statistics; leave one of them out",
    );
  }
  if (obsStats !== undefined && normalizer !== undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot use --obs-stats ${quote(obsStats)}: the checkpoint has a normalizer of its own, ` +
        "and two would be applied; leave --obs-stats out",
    );
  }
  if (choice === "drop" && normalizer !== undefined) {
    warn("--normalizer drop: the policy acts otherwise than the checkpoint's, which normalises");
  }
  if (obsStats !== undefined) return placeStats(network, obsStats, choice);
  if (choice === "drop" && normalizer !== undefined) return { network, use: "none" };
  if (normalizer === undefined) {
    if (options.choice !== undefined) {
      const cure = choice === "drop" ? "leave it out" : "it needs --obs-stats obs_stats.npz";
      throw new Lite3Error("USAGE", `--normalizer ${choice}: the checkpoint has none, ${cure}`);
    }
    notice(
      "no normalizer in the checkpoint: if it was trained on normalised observations, give " +
        "--obs-stats here or to serve",
    );
    return { network, use: "none" };
  }
  if (choice === "fold") return { network: fold(network, normalizer), use: "folded" };
  return keepOutside(network, normalizer, options.output);
}

async function placeStats(
  network: Network,
  obsStats: string,
  choice: NormalizerChoice,
): Promise<PlacedNormalizer> {
  const stats = await readObservationStats(obsStats);
  checkStatsSize(stats, obsStats, network.observationSize);
  const { mean, divisor, digest } = createNormalizer(stats);
  if (choice === "external") return { network, use: "external", digest };
  return { network: fold(network, { kind: "normalize", mean, divisor }), use: "folded" };
}

/** The same numbers under the service's rule (obs − mean) / max(std, 1e-3), or a refusal. */
function keepOutside(
  network: Network,
  { mean, divisor, limit }: NormalizeLayer,
  output: string,
): PlacedNormalizer {
  const small = divisor.findIndex((value) => value < STD_FLOOR);
  if (limit !== undefined || small >= 0) {
    const why =
      limit === undefined
        ? `divides column ${small} by ${divisor[small]}, the service by at least ${STD_FLOOR}`
        : `cuts off at ±${limit}, which the service does not`;
    throw new Lite3Error(
      "UNSUPPORTED",
      `Cannot leave the normalizer outside: it ${why}; fold it in by --normalizer fold`,
    );
  }
  const path = join(dirname(output), "obs_stats.npz");
  const shape = [mean.length];
  const bytes = writeNpz({
    mean: { dtype: "float32", shape, data: Float32Array.from(mean) },
    std: { dtype: "float32", shape, data: Float32Array.from(divisor) },
  });
  if (basename(output) === basename(path)) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot write ${quote(path)}: the normalizer's statistics need that name; choose another ` +
        "by --output",
    );
  }
  if (existsSync(path) && !Buffer.from(readFile(path, LIMITS.modelBytes)).equals(bytes)) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot write ${quote(path)}: another file has that name; move it, or choose another ` +
        "directory by --output",
    );
  }
  const { digest } = createNormalizer({ mean, std: divisor });
  return { network, use: "external", digest, stats: { path, bytes } };
}

/** Writes the statistics of an external normalizer, once the ONNX is written. */
export function writePlacedStats(placed: PlacedNormalizer): void {
  if (placed.stats !== undefined) writeFileAtomic(placed.stats.path, placed.stats.bytes);
}

function fold(network: Network, normalizer: NormalizeLayer): Network {
  return { ...network, layers: [normalizer, ...network.layers] };
}
