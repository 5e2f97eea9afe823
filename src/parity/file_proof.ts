/**
 * What keeps a .rknn that was emulated from being proven to be its policy, in sentences.
 */

import { plural } from "../base/text.ts";
import type { ParityResult } from "./compare_sides.ts";
import type { EmulatedFile } from "./sides.ts";

/** The files that were emulated, and what of their weights is not the model's. */
export function emulatedFiles({ sides }: ParityResult): readonly EmulatedFile[] {
  return sides.flatMap(({ emulatedFile }) => emulatedFile ?? []);
}

/** What fails of a file's weights, in one line; nothing if they are the model's. */
export function weightFailure({ file, model, weights }: EmulatedFile): string | undefined {
  if (weights.holds) return undefined;
  const wrong = weights.layers.filter(({ differing }) => differing > 0);
  const [worst] = wrong;
  if (worst === undefined) return `${file} has no weights that can be read`;
  const { layer, parameter, differing, elements, first } = worst;
  const where =
    first === undefined
      ? "has no known place in it"
      : `[${first.index.join(", ")}] is ${first.file}, ${model} has ${first.model}`;
  const more = wrong.length > 1 ? `; ${plural(wrong.length - 1, "more parameter")} differ` : "";
  return (
    `${file} does not have the weights of the model: ${layer}.${parameter} ${where} ` +
    `(${differing} of ${elements} differ${more})`
  );
}

/** Everything that keeps a file from being proven to be the policy; one sentence each. */
export function fileFailures(emulated: EmulatedFile, target: string): string[] {
  const { file, platforms, contradictions, record, weights } = emulated;
  const cells = weights.unproven.join(", ");
  return [
    ...(platforms.includes(target)
      ? []
      : [
          `${file} is for ${platforms.join(", ")}, need ${target}: convert it again, ` +
            `or --target ${platforms[0]}`,
        ]),
    ...record.failures,
    ...contradictions.map((one) => `${file} is not ${emulated.model}: ${one}`),
    weightFailure(emulated) ?? [],
    ...(cells === "" || record.stands
      ? []
      : [
          `${file} is not proven: the weights of ${cells} cannot be compared, and no record ` +
            "beside it says that the simulator passed it; convert the model again",
        ]),
  ].flat();
}
