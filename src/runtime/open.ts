/**
 * Model file → policy: opens the file with the backend for its kind, and settles how observations
 * are normalised. A normalizer is applied exactly once: the file's metadata says whether it is
 * folded in, expected outside, or not known to the checkpoint.
 */

import { extname } from "node:path";
import { describeSource, FormatError, Lite3Error, quote } from "../base/errors.ts";
import { DISK, type FileSet, readFile } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { notice, warn } from "../base/log.ts";
import { contentKind } from "../formats/content_kind.ts";
import { decodeOnnx, type OnnxModel, tensorFloats } from "../formats/onnx.ts";
import { decodeMetadata, type PolicyMetadata } from "../policy/metadata.ts";
import {
  checkStatsSize,
  createNormalizer,
  type Normalizer,
  readObservationStats,
} from "../policy/normalizer.ts";
import type { Backend } from "./backend.ts";
import { type EmulationRecipe, openEmulated } from "./emulated.ts";
import { openMlp } from "./mlp.ts";
import { openOnnx } from "./onnx.ts";
import {
  isRknnPath,
  type NpuOptions,
  openRknnModel,
  readRknnModel,
  warnOfNpuFlags,
} from "./open_rknn.ts";
import { createPolicy, type Policy } from "./policy.ts";

export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly model: OnnxModel;
  readonly metadata: PolicyMetadata | undefined;
}

/** Reads an ONNX model; other kinds are refused with what to do about them. */
export async function readModel(path: string, files = DISK): Promise<ModelFile> {
  const advice = ADVICE[extname(path).toLowerCase()];
  if (advice !== undefined) {
    throw new Lite3Error("UNSUPPORTED", `Cannot run ${quote(path)}: ${advice}`);
  }
  const bytes = readFile(path, LIMITS.modelBytes, files);
  const kind = contentKind(bytes);
  if (kind !== undefined) {
    throw new Lite3Error("UNSUPPORTED", `Cannot run ${quote(path)}: ${CONTENT_ADVICE[kind]}`);
  }
  return describeSource("Cannot read model", path, () => {
    const model = decodeModel(bytes);
    return { path, bytes, model, metadata: decodeMetadata(model) };
  });
}

/** Every ONNX model that a program wrote begins with the field `ir_version`. */
const ONNX_BEGIN = 0x08;

function decodeModel(bytes: Uint8Array): OnnxModel {
  try {
    return decodeOnnx(bytes);
  } catch (error) {
    if (!(error instanceof FormatError) || bytes.length === 0 || bytes[0] === ONNX_BEGIN) {
      throw error;
    }
    const begin = new TextDecoder("latin1").decode(bytes.subarray(0, 40));
    const found = /^[\t\n\r -~]*$/.test(begin) ? `a text, ${quote(begin)}…` : "another file";
    throw new FormatError(`it is ${found}, need an ONNX model (${error.message})`);
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  ".pt": "it is a checkpoint, turn it into ONNX first: lite3rl export",
  ".pth": "it is a checkpoint, turn it into ONNX first: lite3rl export",
  ".rknn": "here an ONNX model is needed, name the .onnx that it was converted from",
};

const CONTENT_ADVICE = {
  rknn: "it is a .rknn, need the .onnx that it was converted from",
  npy: "it is an array (.npy), need an .onnx model",
  zip: "it is a zip, as checkpoints and .npz are, need an .onnx model: lite3rl inspect says more",
} as const;

/** What may run a policy: `auto` is the NPU for a .rknn, and the fastest on the CPU otherwise. */
export const RUN_BACKENDS = ["auto", "mlp", "onnx", "rknn"] as const;
export type RunBackend = (typeof RUN_BACKENDS)[number];

export interface PolicyOptions extends NpuOptions {
  /** Without one: the NPU for a .rknn, and the reference, ONNX Runtime, for an .onnx. */
  readonly backend?: RunBackend | undefined;
  /** Where the model, what describes it and the statistics are read; the disk if absent. */
  readonly files?: FileSet;
}

/** Opens a model with a backend on the CPU, or with the emulation of a recipe. */
export function openModel(
  file: ModelFile,
  backend: "auto" | "mlp" | "onnx" | EmulationRecipe,
): Promise<Backend> {
  return describeSource("Cannot run model", file.path, () => {
    if (backend === "auto") return openFastest(file);
    if (backend === "mlp") return openMlp(file.model);
    return backend === "onnx"
      ? openOnnx(file.bytes, file.model)
      : openEmulated(file.model, backend);
  });
}

/** The kernel where the graph fits it, ONNX Runtime otherwise. */
async function openFastest({ path, bytes, model }: ModelFile): Promise<Backend> {
  try {
    return openMlp(model);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    const backend = await openOnnx(bytes, model);
    notice(`${path}: ${error.message}`);
    return backend;
  }
}

/** Opens a model file and its observation statistics as one policy. */
export async function openPolicy(
  path: string,
  obsStats: string | undefined,
  options: PolicyOptions = {},
): Promise<Policy> {
  const [file, backend] = await openFile(path, options);
  try {
    const { files } = options;
    const normalizer = await chooseNormalizer(file, backend.observationSize, obsStats, files);
    return createPolicy(backend, normalizer, file.metadata?.normalizer);
  } catch (error) {
    backend[Symbol.dispose]();
    throw error;
  }
}

async function openFile(path: string, options: PolicyOptions): Promise<[DescribedFile, Backend]> {
  const { backend, files } = options;
  if (isRknnPath(path)) {
    if (backend === "mlp" || backend === "onnx") {
      throw new Lite3Error(
        "USAGE",
        `Cannot run ${quote(path)} with --backend ${backend}: a .rknn runs on the NPU only, ` +
          "name the .onnx that it was converted from",
      );
    }
    const file = await readRknnModel(path, files);
    return [file, await openRknnModel(file, options)];
  }
  const file = await readModel(path, files);
  if (backend === "rknn") {
    throw new Lite3Error(
      "USAGE",
      `Cannot run ${quote(path)} with --backend rknn: it is an ONNX model, need a .rknn: ` +
        "lite3rl convert makes one",
    );
  }
  warnOfNpuFlags(path, options);
  return [file, await openModel(file, backend ?? "onnx")];
}

/** What is asked of a model file, of whatever kind, to choose its normalizer. */
type DescribedFile = Pick<ModelFile, "path" | "metadata">;

/**
 * The normalizer that belongs before this model: none where it is folded in, the statistics'
 * where it is external, and what the user says where the file does not know.
 */
export async function chooseNormalizer(
  file: DescribedFile,
  observationSize: number,
  obsStats: string | undefined,
  files = DISK,
): Promise<Normalizer | undefined> {
  const use = file.metadata?.normalizer;
  const model = quote(file.path);
  if (obsStats === undefined) {
    if (use === "external") {
      throw new Lite3Error(
        "CONFIG",
        `Cannot run ${model}: it expects normalised observations, need --obs-stats obs_stats.npz`,
      );
    }
    if (use !== "folded") {
      warn(`${file.path}: no normalizer known and no --obs-stats, observations go in as they are`);
    }
    return undefined;
  }
  if (use === "folded") {
    throw new Lite3Error(
      "CONFIG",
      `Cannot apply ${quote(obsStats)} to ${model}: its normalizer is folded in already, ` +
        "it would be applied twice; leave --obs-stats out",
    );
  }
  const stats = await readObservationStats(obsStats, files);
  checkStatsSize(stats, obsStats, observationSize);
  const normalizer = createNormalizer(stats);
  const expected = file.metadata?.normalizerDigest;
  if (expected !== undefined && expected !== normalizer.digest) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot apply ${quote(obsStats)} to ${model}: it was exported for other statistics ` +
        `(${expected.slice(0, 12)}…, these are ${normalizer.digest.slice(0, 12)}…); name those, ` +
        "or export the checkpoint again",
    );
  }
  if (use === undefined) notice(`${file.path}: no lite3rl metadata, taking --obs-stats as said`);
  return normalizer;
}

/** The normalizer that `lite3rl export` folded in, by the names of its constants. */
export function foldedNormalizer({
  model,
  metadata,
}: Partial<Pick<ModelFile, "model" | "metadata">>): Normalizer | undefined {
  if (metadata?.normalizer !== "folded") return undefined;
  const find = (name: string): Float32Array | undefined => {
    const tensor = model?.graph.initializer?.find((one) => one.name === `obs_normalizer.${name}`);
    return tensor && tensorFloats(tensor);
  };
  const [mean, std] = [find("mean"), find("std")];
  return mean && std && mean.length === std.length ? createNormalizer({ mean, std }) : undefined;
}
