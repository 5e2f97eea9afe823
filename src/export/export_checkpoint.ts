/**
 * Checkpoint → ONNX, compared with the network's own arithmetic before the file takes its name.
 */

import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { checkOutput, sha256, writeFileAtomic } from "../base/files.ts";
import { warn } from "../base/log.ts";
import { decodeOnnx, encodeOnnx, type OnnxModel } from "../formats/onnx.ts";
import { npuProblem } from "../policy/activation.ts";
import {
  checkpointToOnnx,
  type CheckpointWords,
  type OnnxForm,
  readCheckpointBy,
} from "../policy/checkpoint_to_onnx.ts";
import { writeModelYaml } from "../policy/contract_yaml.ts";
import { contradictions } from "../policy/contradictions.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import { describeWidths, parameterCount } from "../policy/network.ts";
import { writePlacedStats } from "../policy/place_normalizer.ts";
import { checkExport, type ExportCheck, TOLERANCE } from "./check.ts";

export interface ExportOptions extends Omit<CheckpointWords, "dropsNormalizer">, OnnxForm {
  readonly checkpoint: string;
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
  /** Statistics written beside the ONNX, which the service needs. */
  readonly obsStats: string | null;
  /** The contract of the training run beside the ONNX, where the run left one. */
  readonly modelYaml: string | null;
  readonly dynamicBatch: boolean;
  readonly check: (ExportCheck & { readonly tolerance: number; readonly evidence: "cpu" }) | null;
  readonly seconds: number;
}

/** Writes `output` only when the file was found to act as the checkpoint does. */
export async function exportCheckpoint(options: ExportOptions): Promise<ExportResult> {
  const started = performance.now();
  const { checkpoint: path, output, outputName } = options;
  checkOutput(output, [path, options.config, options.obsStats]);
  const dropsNormalizer = options.normalizer === "drop";
  const checkpoint = await readCheckpointBy(path, { ...options, dropsNormalizer });
  const { model, placed, trained } = await checkpointToOnnx(path, checkpoint, options);
  const { network } = placed;
  checkOutputName(model, outputName);
  const bytes = encodeOnnx(model);
  if (trained !== undefined) {
    for (const sentence of contradictions(trained, network)) warn(`${trained.path}: ${sentence}`);
  }
  const check = options.check
    ? await describeSource("Cannot export", path, () =>
        checkExport(bytes, decodeOnnx(bytes), network),
      )
    : undefined;
  if (check === undefined) warn(`${output} was not run in ONNX Runtime (--no-check)`);
  const npu = network.layers
    .map((layer) => (layer.kind === "activation" ? npuProblem(layer.activation) : undefined))
    .find((problem) => problem !== undefined);
  if (npu !== undefined) warn(`${npu}: conversion will refuse this policy, train with elu`);
  writeFileAtomic(output, bytes);
  writePlacedStats(placed);
  const modelYaml = trained && writeModelYaml(trained, output);
  return {
    output,
    bytes: bytes.length,
    sha256: sha256(bytes),
    source: { path, sha256: checkpoint.digest, layout: checkpoint.layout },
    widths: describeWidths(network),
    parameters: parameterCount(network),
    activation: checkpoint.activation,
    normalizer: placed.use,
    obsStats: placed.stats?.path ?? null,
    modelYaml: modelYaml ?? null,
    dynamicBatch: options.dynamicBatch,
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
