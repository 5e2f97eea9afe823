/**
 * Checkpoint → ONNX in memory: the network with its normalizer placed, and what is known of its
 * origin. `export` writes it, `parity` runs it as it is.
 */

import { version } from "../../package.json" with { type: "json" };
import type { OnnxModel } from "../formats/onnx.ts";
import { type Activation, parseActivation } from "./activation.ts";
import { encodeContract, findTrainedContract, type TrainedContract } from "./contract_yaml.ts";
import {
  type NormalizerChoice,
  type PlacedNormalizer,
  placeNormalizer,
} from "./place_normalizer.ts";
import { type Checkpoint, type CheckpointHints, readCheckpoint } from "./read_checkpoint.ts";
import { networkToOnnx } from "./to_onnx.ts";

/** What flags say of a checkpoint, activations as they were typed. */
export interface CheckpointWords extends Omit<CheckpointHints, "activation" | "outputActivation"> {
  readonly activation?: string | undefined;
  readonly outputActivation?: string | undefined;
}

/** `readCheckpoint()` by the words of the command line. */
export function readCheckpointBy(path: string, words: CheckpointWords): Promise<Checkpoint> {
  return readCheckpoint(path, {
    ...words,
    activation: named(words.activation, "--activation"),
    outputActivation: named(words.outputActivation, "--output-activation"),
  });
}

function named(activation: string | undefined, flag: string): Activation | undefined {
  return activation === undefined ? undefined : parseActivation(activation, flag);
}

export interface OnnxForm {
  readonly obsStats?: string | undefined;
  /** What becomes of the normalizer; `fold` unless said otherwise. */
  readonly normalizer?: NormalizerChoice | undefined;
  /** Where the file is going to be, for statistics beside it. */
  readonly output: string;
  readonly outputName: string;
  readonly dynamicBatch: boolean;
}

export interface ExportedModel {
  readonly model: OnnxModel;
  /** Its network is the model's: with the normalizer, where that is folded in. */
  readonly placed: PlacedNormalizer;
  /** What the training run left beside the checkpoint. */
  readonly trained: TrainedContract | undefined;
}

/** The checkpoint that was read from `path` as a model. Writes nothing. */
export async function checkpointToOnnx(
  path: string,
  checkpoint: Checkpoint,
  form: OnnxForm,
): Promise<ExportedModel> {
  const { obsStats, normalizer: choice, output, outputName, dynamicBatch } = form;
  const placed = await placeNormalizer(checkpoint, { obsStats, choice, output });
  const trained = findTrainedContract(path);
  const model = networkToOnnx(placed.network, {
    outputName,
    dynamicBatch,
    metadata: {
      sourceDigest: checkpoint.digest,
      layout: checkpoint.layout,
      activation: checkpoint.activation,
      normalizer: placed.use,
      ...(placed.digest === undefined ? {} : { normalizerDigest: placed.digest }),
      toolVersion: version,
      ...(trained === undefined ? {} : { contract: encodeContract(trained) }),
    },
  });
  return { model, placed, trained };
}
