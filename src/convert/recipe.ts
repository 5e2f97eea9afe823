/**
 * The command that makes a file, for its record, and the one that would pass, for whoever reads
 * why it did not.
 */

import { shellWord } from "../base/text.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import type { Candidate } from "./candidate.ts";
import type { ConvertOptions } from "./conversion.ts";
import type { PrecisionChoice } from "./precision.ts";
import { RK3588 } from "../rknn_toolkit/target.ts";

/** Arguments of lite3rl. `toolkit` is the version that is to be used. */
export function recipeArguments(
  options: ConvertOptions,
  choice: PrecisionChoice,
  { precision, float16Layers }: Candidate,
  toolkit: string | undefined = options.toolkit,
): string[] {
  const { model, output, target, dataset, obsStats, mae, seed } = options;
  const isQuantised = precision !== "fp16";
  const flags: Readonly<Record<string, string | number | undefined>> = {
    dataset,
    "obs-stats": obsStats,
    output,
    target,
    precision,
    layers:
      precision === "hybrid" ? float16Layers.map((name) => `${name}=fp16`).join(",") : undefined,
    algorithm: isQuantised ? choice.algorithm : undefined,
    method: isQuantised ? choice.method : undefined,
    mae,
    seed,
    toolkit,
  };
  return [
    "convert",
    model,
    ...Object.entries(flags).flatMap(([name, value]) =>
      value === undefined ? [] : [`--${name}`, String(value)],
    ),
  ];
}

/** What the flags are where they are not given. */
const DEFAULTS: ReadonlySet<string> = new Set([
  `--target ${RK3588}`,
  `--mae ${MAE_GATE}`,
  "--seed 0",
  "--algorithm normal",
  "--method channel",
]);

/** As a line for a shell, without flags that say what is the default. */
export function commandLine([verb = "", model = "", ...flags]: readonly string[]): string {
  const words = ["lite3rl", verb, shellWord(model)];
  for (let i = 0; i < flags.length; i += 2) {
    const [name = "", value = ""] = flags.slice(i, i + 2);
    if (!DEFAULTS.has(`${name} ${value}`)) words.push(name, shellWord(value));
  }
  return words.join(" ");
}
