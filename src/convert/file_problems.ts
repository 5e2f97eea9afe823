/**
 * What keeps a file from being the policy: another platform, other inputs and outputs, other
 * weights, other actions. One sentence each.
 */

import { shapeText } from "../base/text.ts";
import { figure } from "../cli/output.ts";
import type { Comparison } from "../compare/statistics.ts";
import type { RknnFile } from "../formats/rknn.ts";
import type { PolicyShape } from "../runtime/policy_shape.ts";
import type { WeightProof } from "../runtime/rknn_weights.ts";

export function parityProblems({ mae }: Comparison, gate: number): string[] {
  return mae <= gate ? [] : [`MAE is ${figure(mae)}, above ${figure(gate)}`];
}

/** Another target, or other inputs and outputs than the model's. */
export function containerProblems(
  { document, inputs, outputs }: RknnFile,
  shape: PolicyShape,
  target: string,
): string[] {
  const platforms = document.target_platform;
  const wanted = [
    [shape.input, ...shape.state.map(({ input: name, shape: size }) => ({ name, shape: size }))],
    [shape.output, ...shape.state.map(({ output: name, shape: size }) => ({ name, shape: size }))],
  ] as const;
  const sides = [
    ["inputs", inputs, wanted[0]],
    ["outputs", outputs, wanted[1]],
  ] as const;
  return [
    ...(platforms.includes(target) ? [] : [`the file is for ${platforms.join(", ")}`]),
    ...sides.flatMap(([side, found, need]) => {
      const [has, needs] = [found, need].map(tensorList);
      return has === needs ? [] : [`the file's ${side} are ${has}, the model's ${needs}`];
    }),
  ];
}

function tensorList(
  tensors: readonly { readonly name: string; readonly shape: readonly (number | null)[] }[],
): string {
  return tensors
    .map(({ name, shape }) => `${name} ${shapeText(shape.map((size) => size ?? 1))}`)
    .toSorted()
    .join(", ");
}

export function weightProblems({ holds, layers }: Pick<WeightProof, "holds" | "layers">): string[] {
  if (holds) return [];
  const wrong = layers.filter(({ differing, offset }) => differing > 0 || offset === null);
  const sentences = wrong.map(({ layer, parameter, offset, elements, differing, first }) => {
    const what = `${parameter} of ${layer}`;
    if (offset === null) return `${what} is not in the file`;
    const where =
      first === undefined
        ? ""
        : `, first [${first.index.join(", ")}]: ${figure(first.file)} for ${figure(first.model)}`;
    return `${what} differs in ${differing} of ${elements} elements${where}`;
  });
  return sentences.length > 0 ? sentences : ["the file's weights are not the model's"];
}
