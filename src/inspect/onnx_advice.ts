/** What serve, agent, parity and conversion would do with an ONNX model. */

import { LITE3_CONTRACT, observationSize as widthOf } from "../policy/contract.ts";
import type { PolicyMetadata } from "../policy/metadata.ts";
import { createNormalizer } from "../policy/normalizer.ts";
import { shellWord } from "../base/text.ts";
import { findStats } from "./neighbours.ts";
import type { OnnxPolicy } from "./onnx_file.ts";

export interface OnnxFacts {
  readonly policy: OnnxPolicy | null;
  readonly metadata: PolicyMetadata | undefined;
  readonly npu: readonly string[];
}

export async function adviseOnnx(path: string, facts: OnnxFacts): Promise<string[]> {
  const { policy, metadata, npu } = facts;
  if (policy === null) return ["serve, agent and parity refuse it: it is no policy"];
  const { stats, sentence } = await adviseStats(path, policy, metadata);
  const flag = stats === undefined ? "" : ` --obs-stats ${shellWord(stats)}`;
  const model = shellWord(path);
  return [
    ...(sentence === undefined ? [] : [sentence]),
    `lite3rl serve --model ${model}${flag}`,
    ...(isLite3(policy)
      ? [`lite3rl agent --model ${model}${flag} --env lite3`]
      : [
          `agent --env lite3 refuses it: the Lite3 has ${OBSERVATIONS} observations and ${ACTIONS} actions`,
        ]),
    `lite3rl parity ${model} emulated${flag}`,
    npu.length === 0
      ? `lite3rl convert ${model}${flag}`
      : "convert refuses it as it stands: the NPU has not what it needs",
  ];
}

const OBSERVATIONS = widthOf(LITE3_CONTRACT);
const ACTIONS = LITE3_CONTRACT.joints.length;

function isLite3({ observationSize, actionSize }: OnnxPolicy): boolean {
  return observationSize === OBSERVATIONS && actionSize === ACTIONS;
}

/** Which statistics belong before it: the external normalizer's own are known by their digest. */
async function adviseStats(
  path: string,
  { observationSize }: OnnxPolicy,
  metadata: PolicyMetadata | undefined,
): Promise<{ readonly stats?: string | undefined; readonly sentence?: string }> {
  const { normalizer: use, normalizerDigest } = metadata ?? {};
  if (use === "folded") return { sentence: "its normalizer is folded in: give no --obs-stats" };
  if (use === "external") {
    const found = await findStats(path, (stats) =>
      normalizerDigest === undefined
        ? stats.mean.length === observationSize
        : createNormalizer(stats).digest === normalizerDigest,
    );
    return {
      stats: found ?? "obs_stats.npz",
      sentence:
        found === undefined
          ? "it expects normalised observations: name the statistics it was exported with"
          : "it expects observations normalised by the statistics beside it",
    };
  }
  const found = await findStats(path, ({ mean }) => mean.length === observationSize);
  if (found === undefined) {
    return {
      sentence:
        "if it was trained on normalised observations, add --obs-stats with their mean and std",
    };
  }
  return {
    sentence:
      `${found} beside it has statistics of ${observationSize} observations: if it was trained ` +
      `on normalised observations, add --obs-stats ${shellWord(found)}`,
  };
}
