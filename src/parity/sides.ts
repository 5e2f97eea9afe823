/**
 * The two sides of a comparison, as the user names them: a model file, a service's endpoint, or a
 * backend for a model file.
 */

import { existsSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import { Lite3Error, quote } from "../base/errors.ts";
import { progress } from "../cli/output.ts";
import type { Arithmetic } from "../runtime/backend.ts";
import { chooseNormalizer, type ModelFile, openModel, readModel } from "../runtime/open.ts";
import { isRknnPath, type NpuOptions, openRknnModel, readRknnModel } from "../runtime/open_rknn.ts";
import type { Normalizer } from "../policy/normalizer.ts";
import { openRemote } from "../runtime/remote.ts";
import { runRows } from "../runtime/run_rows.ts";
import { isEndpoint, parseEndpoint } from "../wire/endpoint.ts";

const BACKENDS = { onnx: "onnx", emulated: "emulated", "emulated:fp16": "emulated" } as const;

/** Where a model is looked for when only backends are named. */
const PROJECT_MODELS = ["build/policy.onnx", "policy.onnx"];

export interface Side {
  readonly label: string;
  readonly evidence: Arithmetic;
  readonly observationSize: number;
  readonly actionSize: number;
  /** `raw` shape [rows, observationSize] → actions [rows, actionSize]. */
  run(observations: Float32Array, rows: number): Promise<Float32Array>;
  [Symbol.dispose](): void;
}

export interface SideOptions {
  /** Model for a side that is only a backend's name. */
  readonly model: string | undefined;
  readonly obsStats: string | undefined;
  /** Are the observations as the robot has them, or already behind the normalizer? */
  readonly space: "raw" | "network";
  readonly timeoutMs: number;
  /** For a side that is a .rknn. */
  readonly npu: NpuOptions;
}

export function isBackendName(spec: string): spec is keyof typeof BACKENDS {
  return Object.hasOwn(BACKENDS, spec);
}

/** The model file that a side runs; endpoints have none. */
export function modelPath(spec: string, other: string, model: string | undefined): string {
  if (!isBackendName(spec)) return spec;
  const named = model ?? (isBackendName(other) || isEndpoint(other) ? undefined : other);
  const found = named ?? PROJECT_MODELS.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new Lite3Error(
    "USAGE",
    `Cannot run backend ${quote(spec)}: no model named, and none of ` +
      `${PROJECT_MODELS.join(", ")} is here; give --model policy.onnx`,
  );
}

/** Opens a model file with the backend that `spec` names; a file's own is ONNX Runtime. */
export async function openFileSide(
  spec: string,
  path: string,
  options: SideOptions,
): Promise<Side> {
  if (!existsSync(path) && !/[./]/.test(path)) {
    const near = closest(path, Object.keys(BACKENDS));
    throw new Lite3Error(
      "USAGE",
      `Cannot compare ${quote(path)}: it is neither a file nor a backend, need an .onnx file, ` +
        `unix:PATH, tcp:HOST:PORT, or one of ${Object.keys(BACKENDS).join(", ")} ` +
        `(the nearest is ${near})`,
    );
  }
  const { file, backend } = await openFile(spec, path, options.npu);
  const normalizer = await normalizerFor(file, backend.observationSize, options);
  return {
    label: isBackendName(spec) ? `${spec} (${path})` : path,
    evidence: backend.arithmetic,
    observationSize: backend.observationSize,
    actionSize: backend.actionSize,
    async run(observations, rows) {
      const input = Float32Array.from(observations);
      normalizer?.apply(input);
      const { update, finish } = progress("parity", rows);
      return runRows(backend, input, rows, { onRows: update }).finally(finish);
    },
    [Symbol.dispose]: () => backend[Symbol.dispose](),
  };
}

async function openFile(spec: string, path: string, npu: NpuOptions) {
  if (isRknnPath(path) && !isBackendName(spec)) {
    const file = await readRknnModel(path);
    return { file, backend: await openRknnModel(file, npu) };
  }
  const file = await readModel(path);
  return { file, backend: await openModel(file, isBackendName(spec) ? BACKENDS[spec] : "onnx") };
}

async function normalizerFor(
  file: Pick<ModelFile, "path" | "metadata">,
  observationSize: number,
  options: SideOptions,
): Promise<Normalizer | undefined> {
  if (options.space === "network") return undefined;
  const folded = file.metadata?.normalizer === "folded";
  return chooseNormalizer(file, observationSize, folded ? undefined : options.obsStats);
}

/** Opens a service; its sizes are the other side's. */
export function openEndpointSide(
  spec: string,
  sizes: { observationSize: number; actionSize: number },
  options: SideOptions,
): Side {
  const { observationSize, actionSize } = sizes;
  const backend = openRemote(parseEndpoint(spec), { ...sizes, timeoutMs: options.timeoutMs });
  return {
    label: spec,
    evidence: backend.arithmetic,
    observationSize,
    actionSize,
    async run(observations, rows) {
      const actions = new Float32Array(rows * actionSize);
      await backend.infer(observations, actions, backend.createState(), rows);
      return actions;
    },
    [Symbol.dispose]: () => backend[Symbol.dispose](),
  };
}
