/**
 * The network of a side: an .onnx, or a checkpoint exported in memory as `lite3rl export` would.
 */

import { encodeOnnx } from "../formats/onnx.ts";
import {
  checkpointToOnnx,
  type CheckpointWords,
  readCheckpointBy,
} from "../policy/checkpoint_to_onnx.ts";
import { type ModelFile, readModel } from "../runtime/open.ts";
import { decodeMetadata } from "../policy/metadata.ts";

export const isCheckpoint = (spec: string): boolean => /\.(?:pt|pth|ckpt|zip)$/i.test(spec);

export interface ModelWords {
  readonly obsStats: string | undefined;
  /** What a checkpoint may not say of itself. */
  readonly checkpoint: CheckpointWords;
}

/**
 * Reads an .onnx or a checkpoint. A checkpoint's own normalizer is in the network, `--obs-stats`
 * stay outside of it, since other sides may need them there.
 */
export async function readSideModel(path: string, words: ModelWords): Promise<ModelFile> {
  if (!isCheckpoint(path)) return readModel(path);
  const checkpoint = await readCheckpointBy(path, words.checkpoint);
  const isOutside = checkpoint.normalizer === undefined && words.obsStats !== undefined;
  const { model } = await checkpointToOnnx(path, checkpoint, {
    ...(isOutside && { obsStats: words.obsStats, normalizer: "external" }),
    output: path,
    outputName: "action",
    dynamicBatch: false,
  });
  return { path, bytes: encodeOnnx(model), model, metadata: decodeMetadata(model) };
}
