/** A checkpoint's findings for a person, and what to do next. */

import { figure } from "../cli/output.ts";
import { type Activation, npuProblem } from "../policy/activation.ts";
import { LAYOUT_NAMES } from "../policy/layouts/detect.ts";
import type { CheckpointDetails } from "./checkpoint.ts";
import { plain, plural, shapeText, shellWord, tallyText } from "../base/text.ts";
import type { Block, Fact } from "./finding.ts";
import { findStats } from "./neighbours.ts";
import { tensorFact, treeFacts } from "./tree.ts";

export function checkpointBlocks(details: CheckpointDetails): Block[] {
  const { tree, policy } = details;
  const blocks: Block[] = [
    {
      facts: [
        ["container", containerText(details)],
        ...(tree === null ? [] : [...treeFacts(tree), tensorFact(tree)]),
        ...iterationFact(details),
        ...layoutFacts(details),
        ...policyFacts(details),
      ],
    },
  ];
  if (policy !== null) {
    blocks.push({
      head: ["layer", "kind", "inputs", "outputs", "parameters"],
      rows: policy.layers
        .slice(0, 40)
        .map(({ name, kind, inputs, outputs, parameters }) => [
          plain(name, 50),
          kind,
          `${inputs}`,
          `${outputs}`,
          `${parameters}`,
        ]),
      right: ["inputs", "outputs", "parameters"],
    });
  } else if (details.tensors.length > 0) {
    blocks.push({
      head: ["tensor", "dtype", "shape"],
      rows: details.tensors
        .filter(({ name }) => !/^optimi[sz]er/.test(name))
        .slice(0, 24)
        .map(({ name, dtype, shape }) => [plain(name, 60), dtype, shapeText(shape)]),
      right: [],
    });
  }
  return blocks;
}

function containerText({ container }: CheckpointDetails): string {
  const { form, entries, byteOrder, pickleProtocol, library } = container;
  return [
    library === null ? form : `${form} ${plain(library, 20)}`,
    ...(entries === null ? [] : [`${entries} entries`]),
    ...(pickleProtocol === null ? [] : [`pickle protocol ${pickleProtocol}`]),
    ...(byteOrder === null ? [] : [`${plain(byteOrder, 10)}-endian`]),
  ].join(", ");
}

function iterationFact({ iteration }: CheckpointDetails): Fact[] {
  return iteration === null ? [] : [["training", `${iteration.key} ${iteration.value}`]];
}

/** The tensors are listed below, so the message's own list of keys is not needed. */
const isUnknown = (problem: string | null): boolean =>
  problem?.includes("no layout known") === true;

function layoutFacts({ layout, problem }: CheckpointDetails): Fact[] {
  if (layout !== null) return [["layout", layout]];
  if (isUnknown(problem)) return [["layout", `none of ${LAYOUT_NAMES.join(", ")}`]];
  return [["layout", `not found: ${plain(problem ?? "", 1200)}`]];
}

function policyFacts(details: CheckpointDetails): Fact[] {
  const { policy, activation, normalizer, noise, layout } = details;
  if (layout === null) return [];
  const facts: Fact[] = [];
  if (policy !== null) {
    const { widths, parameters, dtypes, recurrent, outputActivation } = policy;
    const twofold = policy.twoNumbersPerAction ? ", two numbers per action" : "";
    const stored = Object.keys(dtypes).length === 0 ? "" : `, ${tallyText(dtypes)}`;
    facts.push(["policy", `${widths}${twofold}, ${parameters} parameters${stored}`]);
    if (recurrent !== null) {
      const { cell, hidden, layers } = recurrent;
      facts.push(["recurrent", `${cell}, ${plural(layers, "layer")} of ${hidden}`]);
    }
    if (outputActivation !== null && outputActivation !== "identity")
      facts.push(["output", outputActivation]);
  }
  facts.push([
    "activation",
    activation.name === null
      ? "not in the file"
      : `${activation.name}, from ${plain(activation.from ?? "", 200)}`,
  ]);
  facts.push([
    "normalizer",
    normalizer === null
      ? "none in the file"
      : `${normalizer.rule} of ${normalizer.size} numbers (${normalizer.library})`,
  ]);
  if (noise !== null) {
    const { key, size, form, meanStd } = noise;
    const mean = meanStd === null ? "" : `, standard deviation ${figure(meanStd)} on average`;
    facts.push(["noise", `${plain(key, 60)}: ${form} of ${size}${mean}`]);
  }
  return facts;
}

export async function checkpointAdvice(
  path: string,
  details: CheckpointDetails,
): Promise<string[]> {
  const { command, needs, refusal } = details.export;
  const advice: string[] = [];
  if (details.suspicious.length > 0) {
    advice.push(
      "nothing of what is listed is executed here; torch.load with weights_only=False would",
    );
  }
  if (command === null) {
    if (details.problem === null) advice.push(`export refuses it: ${plain(refusal ?? "", 1200)}`);
    else advice.push(`export refuses it: ${exportHint(path, details.problem)}`);
    return advice;
  }
  advice.push(command, ...needs.map(({ flag, why }) => `${flag}: ${why}`));
  const npu = details.activation.name && npuProblem(details.activation.name as Activation);
  if (npu) advice.push(`${npu}: conversion will refuse this policy`);
  const { policy, normalizer } = details;
  if (normalizer === null && policy !== null) {
    const stats = await findStats(path, ({ mean }) => mean.length === policy.observationSize);
    if (stats !== undefined) {
      advice.push(
        `${stats} beside it has statistics of ${policy.observationSize} observations: if it was ` +
          `trained on normalised observations, add --obs-stats ${shellWord(stats)}`,
      );
    }
  }
  return advice;
}

function exportHint(path: string, problem: string): string {
  if (problem.includes("--actor")) {
    return `name the actor: lite3rl export ${shellWord(path)} --actor PREFIX`;
  }
  return isUnknown(problem)
    ? "it finds no policy by these keys; --layout and --actor say where it is, if it is there"
    : "as said under layout";
}
