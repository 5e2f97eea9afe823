/**
 * Checkpoint → ONNX, compared with the network's own arithmetic before the file takes its name.
 */

import { version } from "../../package.json" with { type: "json" };
import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, sha256, writeFileAtomic } from "../base/files.ts";
import { notice, warn } from "../base/log.ts";
import { decodeOnnx, encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { parseActivation } from "../policy/activation.ts";
import { readActorConfig } from "../policy/config.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import { describeWidths, type Network, parameterCount } from "../policy/network.ts";
import {
  checkStatsSize,
  createNormalizer,
  type Normalizer,
  readObservationStats,
} from "../policy/normalizer.ts";
import { readCheckpoint } from "../policy/read_checkpoint.ts";
import { networkToOnnx } from "../policy/to_onnx.ts";
import { checkExport, type ExportCheck, TOLERANCE } from "./check.ts";

export interface ExportOptions {
  readonly checkpoint: string;
  readonly output: string;
  readonly config?: string | undefined;
  readonly activation?: string | undefined;
  readonly obsStats?: string | undefined;
  /** What becomes of `obsStats`; `fold` unless said otherwise. */
  readonly normalizer?: "fold" | "external" | undefined;
  readonly outputName: string;
  readonly dynamicBatch: boolean;
  /** Run the file in ONNX Runtime before it is written. */
  readonly check: boolean;
}

/** The document of `export --json`. */
export interface ExportResult {
  readonly output: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly source: { readonly path: string; readonly sha256: string; readonly layout: string };
  readonly widths: string;
  readonly parameters: number;
  readonly activation: string;
  readonly normalizer: NormalizerUse;
  readonly dynamicBatch: boolean;
  readonly check: (ExportCheck & { readonly tolerance: number; readonly evidence: "cpu" }) | null;
  readonly seconds: number;
}

/** Writes `output` only when the file was found to act as the checkpoint does. */
export async function exportCheckpoint(options: ExportOptions): Promise<ExportResult> {
  const started = performance.now();
  const { checkpoint: path, output, dynamicBatch, outputName } = options;
  checkOutput(output, [path, options.config, options.obsStats]);
  const config = options.config === undefined ? undefined : readActorConfig(options.config);
  const activation =
    options.activation === undefined
      ? undefined
      : parseActivation(options.activation, "--activation");
  const checkpoint = await readCheckpoint(path, { config, activation });
  const placed = await placeNormalizer(checkpoint.network, options.obsStats, options.normalizer);
  const { network } = placed;
  const model = networkToOnnx(network, {
    outputName,
    dynamicBatch,
    metadata: {
      sourceDigest: checkpoint.digest,
      layout: checkpoint.layout,
      activation: checkpoint.activation,
      normalizer: placed.use,
      ...(placed.digest === undefined ? {} : { normalizerDigest: placed.digest }),
      toolVersion: version,
    },
  });
  checkOutputName(model, outputName);
  const bytes = encodeOnnx(model);
  const check = options.check
    ? await describeSource("Cannot export", path, () =>
        checkExport(bytes, decodeOnnx(bytes), network),
      )
    : undefined;
  if (check === undefined) warn(`${output} was not run in ONNX Runtime (--no-check)`);
  writeFileAtomic(output, bytes);
  return {
    output,
    bytes: bytes.length,
    sha256: sha256(bytes),
    source: { path, sha256: checkpoint.digest, layout: checkpoint.layout },
    widths: describeWidths(network),
    parameters: parameterCount(network),
    activation: checkpoint.activation,
    normalizer: placed.use,
    dynamicBatch,
    check: check === undefined ? null : { ...check, tolerance: TOLERANCE, evidence: "cpu" },
    seconds: (performance.now() - started) / 1000,
  };
}

/** The output shares its names with the input, the weights and the values between. */
function checkOutputName({ graph }: OnnxModel, name: string): void {
  const computed = (graph.node ?? []).flatMap(({ output }) => output ?? []);
  const given = [...(graph.input ?? []), ...(graph.initializer ?? [])].map((value) => value.name);
  const count = [...computed, ...given].filter((taken) => taken === name).length;
  if (name !== "" && count === 1) return;
  throw new Lite3Error(
    "USAGE",
    `--output-name ${quote(name)} is taken inside of the model, need another such as action`,
  );
}

interface PlacedNormalizer {
  readonly network: Network;
  readonly use: NormalizerUse;
  readonly digest?: string;
}

/** Folds the statistics into the network, or records which ones it needs outside. */
async function placeNormalizer(
  network: Network,
  obsStats: string | undefined,
  how: "fold" | "external" | undefined,
): Promise<PlacedNormalizer> {
  if (obsStats === undefined) {
    if (how !== undefined) {
      throw new Lite3Error("USAGE", `--normalizer ${how} needs --obs-stats obs_stats.npz`);
    }
    notice(
      "no --obs-stats: if the policy was trained on normalised observations, give them here or to serve",
    );
    return { network, use: "none" };
  }
  const stats = await readObservationStats(obsStats);
  checkStatsSize(stats, obsStats, network.observationSize);
  const normalizer = createNormalizer(stats);
  if (how === "external") return { network, use: "external", digest: normalizer.digest };
  return { network: foldNormalizer(network, normalizer), use: "folded" };
}

function foldNormalizer(network: Network, { mean, divisor }: Normalizer): Network {
  return { ...network, layers: [{ kind: "normalize", mean, divisor }, ...network.layers] };
}
