/**
 * Inspects a checkpoint: how it is packed, what is in it, which layout that is, the policy's
 * layers, and what `export` would need to turn it into ONNX. Nothing in it is executed.
 */

import { FormatError } from "../base/errors.ts";
import type { ByteSource } from "../base/files.ts";
import { type CheckpointFile, openCheckpoint } from "../policy/checkpoint_file.ts";
import { detectLayout } from "../policy/layouts/detect.ts";
import type { PolicyPlan } from "../policy/layouts/plan.ts";
import { type Container, readContainer } from "./container.ts";
import { tryExport } from "./export_trial.ts";
import type { Finding } from "./finding.ts";
import { describeSuspicious, suspicious, type SuspiciousGlobal } from "./globals.ts";
import { checkpointAdvice, checkpointBlocks } from "./checkpoint_text.ts";
import {
  describeLayers,
  describeNoise,
  describeNormalizer,
  findIteration,
} from "./policy_parts.ts";
import { describeTree, listTensors } from "./tree.ts";

/** Tensors named in the document; an optimizer's come last and may be left out. */
const TENSORS_MAX = 256;

export async function inspectCheckpoint(path: string, source: ByteSource): Promise<Finding> {
  const container = await readContainer(source);
  const found = suspiciousIn(container);
  const opened = await openOrProblem(source);
  if ("problem" in opened && opened.isBroken && found.length === 0) throw opened.error;
  const file = "file" in opened ? opened.file : undefined;
  const layout = file === undefined ? opened : planOrProblem(file);
  const plan = "plan" in layout ? layout.plan : undefined;
  const trial = await tryExport(path, plan);
  const { checkpoint } = trial;
  const tree = file === undefined ? null : describeTree(file.file.root);
  const { globals, ...packing } = container;
  const details = {
    container: packing,
    globals: globals.map(({ name }) => name),
    suspicious: found,
    tree,
    tensors: file === undefined ? [] : listTensors(file.file.root, TENSORS_MAX),
    iteration: file === undefined ? null : findIteration(file),
    layout: checkpoint?.layout ?? plan?.layout ?? null,
    problem: "problem" in layout && checkpoint === null ? layout.problem : null,
    policy: checkpoint === null ? null : describeLayers(checkpoint.network, plan),
    activation: activationOf(trial),
    normalizer: plan?.normalizer === undefined ? null : describeNormalizer(plan.normalizer),
    noise: file === undefined || plan === undefined ? null : describeNoise(file.file, plan),
    export: {
      command: trial.command,
      needs: trial.needs,
      refusal: trial.refusal,
      config: trial.config,
    },
  };
  return {
    kind: "checkpoint",
    title: TITLES[container.form],
    details,
    blocks: checkpointBlocks(details),
    warnings: describeSuspicious(found),
    advice: await checkpointAdvice(path, details),
  };
}

const TITLES: Readonly<Record<Container["form"], string>> = {
  "torch zip": "torch checkpoint",
  "TorchScript zip": "TorchScript model",
  "SB3 zip": "Stable-Baselines3 model",
  "torch legacy": "torch checkpoint of the time before 1.6",
  tar: "tar archive, perhaps of torch before 0.1.10",
};

export interface CheckpointDetails {
  readonly container: Omit<Container, "globals">;
  readonly suspicious: readonly SuspiciousGlobal[];
  readonly tree: ReturnType<typeof describeTree> | null;
  readonly tensors: ReturnType<typeof listTensors>;
  readonly iteration: ReturnType<typeof findIteration>;
  readonly layout: string | null;
  /** Why there is no layout, or why the file cannot be read at all. */
  readonly problem: string | null;
  readonly policy: ReturnType<typeof describeLayers> | null;
  readonly activation: ReturnType<typeof activationOf>;
  readonly normalizer: ReturnType<typeof describeNormalizer> | null;
  readonly noise: ReturnType<typeof describeNoise>;
  readonly export: Pick<
    Awaited<ReturnType<typeof tryExport>>,
    "command" | "needs" | "refusal" | "config"
  >;
}

/** A TorchScript archive names the classes of its own code, which nobody imports. */
function suspiciousIn({ form, globals }: Container): SuspiciousGlobal[] {
  const own = /^(?:__torch__\.|torch\.jit\._pickle\.)/;
  return suspicious(
    form === "TorchScript zip" ? globals.filter(({ name }) => !own.test(name)) : globals,
  );
}

interface Problem {
  readonly problem: string;
  /** The bytes are wrong, rather than of a kind that is not handled. */
  readonly isBroken: boolean;
  readonly error: FormatError;
}

async function openOrProblem(
  source: ByteSource,
): Promise<{ readonly file: CheckpointFile } | Problem> {
  try {
    return { file: await openCheckpoint(source) };
  } catch (error) {
    return problemOf(error);
  }
}

function planOrProblem(file: CheckpointFile): { readonly plan: PolicyPlan } | Problem {
  try {
    return { plan: detectLayout(file.root, {}) };
  } catch (error) {
    return problemOf(error);
  }
}

function problemOf(error: unknown): Problem {
  if (!(error instanceof FormatError)) throw error;
  return { problem: error.message, isBroken: error.code !== "UNSUPPORTED", error };
}

function activationOf({ activationFrom: from, checkpoint, config }: TrialParts) {
  return from === null || checkpoint === null
    ? { name: null, from: null }
    : { name: checkpoint.activation, from: from === "config" ? config : from };
}

type TrialParts = Pick<
  Awaited<ReturnType<typeof tryExport>>,
  "activationFrom" | "checkpoint" | "config"
>;
