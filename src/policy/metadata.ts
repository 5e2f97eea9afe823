/**
 * What lite3rl writes into an ONNX file about its origin, as `metadata_props`, and reads back
 * before it runs the file: above all how observations are normalised.
 */

import { FormatError, quote } from "../base/errors.ts";
import { metadata, type OnnxModel } from "../formats/onnx.ts";

/**
 * - `none`: the checkpoint had no normalizer; statistics may be given when the file is run
 * - `folded`: the network normalises by itself; statistics must not be given again
 * - `external`: the network expects normalised observations; statistics must be given
 */
export type NormalizerUse = "none" | "folded" | "external";

export interface PolicyMetadata {
  /** SHA-256 of the checkpoint. */
  readonly sourceDigest: string;
  readonly layout: string;
  readonly activation: string;
  readonly normalizer: NormalizerUse;
  /** Names the statistics that an external normalizer must have. */
  readonly normalizerDigest?: string;
  readonly toolVersion: string;
  /** What the training run says of observation, action, pose, gains and rate, as JSON. */
  readonly contract?: string;
}

const KEYS = {
  sourceDigest: "lite3rl.source_sha256",
  layout: "lite3rl.layout",
  activation: "lite3rl.activation",
  normalizer: "lite3rl.normalizer",
  normalizerDigest: "lite3rl.normalizer_sha256",
  toolVersion: "lite3rl.version",
  contract: "lite3rl.contract",
} as const;

/** Pairs for `metadata_props`, in a fixed order. */
export function encodeMetadata(policy: PolicyMetadata): { key: string; value: string }[] {
  return Object.entries(KEYS).flatMap(([field, key]) => {
    const value = policy[field as keyof PolicyMetadata];
    return value === undefined ? [] : [{ key, value }];
  });
}

/** Reads our metadata back; undefined for a model that lite3rl did not write. */
export function decodeMetadata(model: OnnxModel): PolicyMetadata | undefined {
  const found = metadata(model);
  const normalizer = found.get(KEYS.normalizer);
  if (normalizer === undefined) return undefined;
  if (normalizer !== "none" && normalizer !== "folded" && normalizer !== "external") {
    throw new FormatError(
      `its ${KEYS.normalizer} is ${quote(normalizer)}, need none, folded or external`,
    );
  }
  const digest = found.get(KEYS.normalizerDigest);
  const contract = found.get(KEYS.contract);
  return {
    sourceDigest: found.get(KEYS.sourceDigest) ?? "",
    layout: found.get(KEYS.layout) ?? "",
    activation: found.get(KEYS.activation) ?? "",
    normalizer,
    ...(digest === undefined ? {} : { normalizerDigest: digest }),
    toolVersion: found.get(KEYS.toolVersion) ?? "",
    ...(contract === undefined ? {} : { contract }),
  };
}
