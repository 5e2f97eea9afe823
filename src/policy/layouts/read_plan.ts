/**
 * Plan → layers: reads the tensors that a layout found, in the order in which an observation
 * passes them, and refuses a checkpoint of which something is left over.
 */

import { FormatError, Lite3Error, quote } from "../../base/errors.ts";
import { notice } from "../../base/log.ts";
import type { TorchFile } from "../../formats/torch.ts";
import { type Activation, parseActivation } from "../activation.ts";
import type { AffineLayer, DistributionLayer, Layer, NormalizeLayer } from "../network.ts";
import { checkNoise, checkNothingElse, checkNothingLeft, checkWidths } from "./check_layers.ts";
import { readMemory } from "./memory.ts";
import type { NormalizerPlan, PlanStep, PolicyPlan } from "./plan.ts";
import { LAYER_NORM_EPSILON, readLayerNorm, readLinear, readSequential } from "./sequential.ts";
import { readVector, sequentialPrefixes } from "./state_dict.ts";
import { withinFile } from "./within_file.ts";

/** What the plan does not say and the user, or a YAML beside the file, does. */
export interface PlanHints {
  readonly activation: Activation;
  readonly outputActivation: Activation;
  /** eps of the normalizer; undefined refuses a checkpoint that has one. */
  readonly normalizerEpsilon: number | undefined;
  readonly distribution: "gaussian" | "beta" | "none" | undefined;
}

export interface PlannedLayers {
  /** From the normalized observation to the action. */
  readonly layers: readonly Layer[];
  readonly normalizer: NormalizeLayer | undefined;
}

export function readPlan(source: TorchFile, plan: PolicyPlan, hints: PlanHints): PlannedLayers {
  const file = withinFile(source);
  checkNothingElse(plan);
  const layers: Layer[] = [];
  for (const step of plan.sequence ?? []) layers.push(readStep(file, plan, step));
  const parts = plan.sequence === undefined ? plan.parts : [];
  for (const [index, part] of parts.entries()) {
    const isSequential = sequentialPrefixes(plan.state).includes(part);
    if (index > 0 && !isNormAfterActivation(layers)) {
      layers.push({ kind: "activation", activation: hints.activation });
      if (plan.layout === "actor_critic") {
        notice(`${plan.parts.join(" → ")}: taking ${hints.activation} between the two`);
      }
    }
    if (plan.memory !== undefined && index === (plan.memoryBefore ?? 0)) {
      layers.push(readMemory(file, plan.state, plan.memory));
      if (plan.memoryNorm !== undefined) {
        layers.push(readLayerNorm(file, plan.state, plan.memoryNorm, LAYER_NORM_EPSILON));
      }
    }
    layers.push(
      ...(isSequential
        ? readSequential(file, plan.state, part, hints.activation)
        : [readLinear(file, plan.state, part)]),
    );
  }
  if (plan.sequence === undefined && layers.some(({ kind }) => kind === "layer_norm")) {
    notice(
      "LayerNorm: eps is not in a checkpoint, taking torch's own 1e-5" +
        (plan.layout === "actor_critic" ? GROUP_NORM : ""),
    );
  }
  checkWidths(layers);
  checkNothingLeft(plan, layers);
  layers.push(...readEnding(plan, hints, layers));
  const { normalizer } = plan;
  return {
    layers,
    normalizer: normalizer && readNormalizer(file, normalizer, hints.normalizerEpsilon),
  };
}

const GROUP_NORM = "; a GroupNorm has the same keys, and would act otherwise";

/** Linear, activation, LayerNorm: the pattern is complete, nothing comes after it. */
function isNormAfterActivation(layers: readonly Layer[]): boolean {
  return layers.at(-1)?.kind === "layer_norm" && layers.at(-2)?.kind === "activation";
}

function readStep(file: TorchFile, { layout, state }: PolicyPlan, step: PlanStep): Layer {
  switch (step.kind) {
    case "linear":
      return readLinear(file, state, step.name);
    case "layer_norm":
      return readLayerNorm(file, state, step.name, step.epsilon);
    case "memory":
      return readMemory(file, state, step.name);
    case "activation":
      return { kind: "activation", activation: parseActivation(step.activation, layout) };
  }
}

/** What comes after the last Linear: a distribution, an activation, the bounds of the actions. */
function readEnding(plan: PolicyPlan, hints: PlanHints, layers: readonly Layer[]): Layer[] {
  const last = layers.findLast((layer) => layer.kind === "linear");
  const width = last?.outputs ?? 0;
  const { outputActivation } = hints;
  const distribution = plan.distribution ?? hints.distribution;
  if (hints.distribution !== undefined && distribution !== hints.distribution) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot use --distribution ${hints.distribution}: the file says ${distribution}, leave it out`,
    );
  }
  const isHalved = distribution === "gaussian" || distribution === "beta";
  checkNoise(plan, isHalved ? width / 2 : width);
  const ending: Layer[] = [];
  if (distribution === "gaussian" || distribution === "beta") {
    ending.push(readDistribution(distribution, width));
    if (plan.distribution === undefined) {
      const rest = distribution === "gaussian" ? "the other half is noise" : "two for each";
      notice(
        `--distribution ${distribution}: ${width / 2} actions from the ${width} values of the ` +
          `last layer, ${rest}`,
      );
    }
  } else if (distribution === undefined && plan.isTwofold === true && width % 2 === 0) {
    throw new FormatError(
      `it has no noise (std or log_std), so its last layer of ${width} may give two numbers per ` +
        "action; --distribution gaussian or beta says of what, --distribution none that it does not",
      "UNSUPPORTED",
    );
  }
  if (outputActivation !== "identity") {
    ending.push({ kind: "activation", activation: outputActivation });
  }
  if (plan.actionBounds !== undefined) ending.push(...stretch(plan.actionBounds));
  return ending;
}

function readDistribution(distribution: "gaussian" | "beta", width: number): DistributionLayer {
  if (width % 2 === 0) return { kind: "distribution", distribution, size: width / 2 };
  throw new FormatError(
    `--distribution ${distribution} needs two numbers per action, the last layer gives ${width}`,
  );
}

/** −1..1 to low..high; nothing where that is the same. */
function stretch({ low, high }: { low: Float32Array; high: Float32Array }): AffineLayer[] {
  const scale = low.map((value, i) => ((high[i] ?? 0) - value) / 2);
  const offset = low.map((value, i) => ((high[i] ?? 0) + value) / 2);
  const isSame = scale.every((value) => value === 1) && offset.every((value) => value === 0);
  return isSame ? [] : [{ kind: "affine", scale, offset }];
}

function readNormalizer(
  file: TorchFile,
  plan: NormalizerPlan,
  epsilon: number | undefined,
): NormalizeLayer {
  if (epsilon === undefined) {
    throw new FormatError(
      `its normalizer divides by a spread plus an eps that is not in the file; ${plan.library}'s ` +
        `own is ${plan.epsilon}: say --normalizer-eps ${plan.epsilon}`,
      "UNSUPPORTED",
    );
  }
  const mean = readVector(file, plan.state, plan.mean);
  const spread = readVector(file, plan.state, plan.spread);
  if (mean.length !== spread.length) {
    throw new FormatError(
      `${quote(plan.mean)} has ${mean.length} values, ${quote(plan.spread)} ${spread.length}`,
    );
  }
  const negative = spread.findIndex((value) => value < 0);
  if (negative >= 0) {
    throw new FormatError(
      `${quote(plan.spread)} is ${spread[negative]} at element ${negative}, need not below zero`,
    );
  }
  const divisor = spread.map((value) =>
    plan.form === "std" ? value + epsilon : Math.sqrt(Math.fround(value + epsilon)),
  );
  const zero = divisor.indexOf(0);
  if (zero >= 0) {
    throw new FormatError(
      `${quote(plan.spread)} is ${spread[zero]} at element ${zero} and eps is ${epsilon}, ` +
        "which would divide by zero; need --normalizer-eps above 0",
      "UNSUPPORTED",
    );
  }
  const { limit } = plan;
  return { kind: "normalize", mean, divisor, ...(limit === undefined ? {} : { limit }) };
}
