/**
 * The two sides of a comparison, as the user names them: a model file, a service's endpoint, or a
 * backend for a model file.
 */

import { existsSync } from "node:fs";
import { closest } from "fastest-levenshtein";
import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { readFile, sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { progress } from "../cli/output.ts";
import type { Arithmetic, Backend } from "../runtime/backend.ts";
import type { EmulationRecipe } from "../runtime/emulated.ts";
import { chooseNormalizer, foldedNormalizer, type ModelFile, openModel } from "../runtime/open.ts";
import { type NpuOptions, openRknnModel, readRknnModel } from "../runtime/open_rknn.ts";
import { readObservations } from "../dataset/observations.ts";
import type { OnnxModel } from "../formats/onnx.ts";
import type { NormalizerUse } from "../policy/metadata.ts";
import type { Normalizer, ObservationStats } from "../policy/normalizer.ts";
import { createPolicy, type Policy } from "../runtime/policy.ts";
import { policyShape } from "../runtime/policy_shape.ts";
import { openRknnEmulated } from "../runtime/rknn_emulated.ts";
import { readRknnLayers } from "../runtime/rknn_layers.ts";
import { compareOperators } from "../runtime/rknn_operators.ts";
import { proveWeights, type WeightProof } from "../runtime/rknn_weights.ts";
import { findOnnx, madeFrom } from "./project_files.ts";
import { fitRecord, type RecordFit } from "./record.ts";
import { openRecorded } from "./recorded.ts";
import { openRemote } from "../runtime/remote.ts";
import { runRows } from "../runtime/run_rows.ts";
import { bits, isSaved, readSavedSide, type Space } from "./saved_outputs.ts";
import { type ModelWords, readSideModel } from "./side_model.ts";
import { isEndpoint, parseEndpoint } from "../wire/endpoint.ts";
import type { About } from "../wire/protocol.ts";

/** What is said of a side that is a .rknn, which was emulated. */
export interface EmulatedFile {
  readonly file: string;
  /** The ONNX whose weights were looked for in the file. */
  readonly model: string;
  readonly weights: WeightProof;
  /** What the file computes otherwise than the model; one sentence each. */
  readonly contradictions: readonly string[];
  readonly platforms: readonly string[];
  /** The record beside it, if there is one. */
  readonly record: RecordFit;
  readonly fromFile: readonly string[];
  readonly assumed: readonly string[];
}

const BACKENDS = {
  onnx: "onnx",
  mlp: "mlp",
  toolkit: "toolkit",
  emulated: "fp16",
  "emulated:fp16": "fp16",
  "emulated:w8a8": "w8a8",
} as const;

const NAMES = [...Object.keys(BACKENDS), "rknn"];

export interface Side {
  readonly label: string;
  readonly evidence: Arithmetic;
  /** Digest of the model's file, where the side is one. */
  readonly sha256?: string | undefined;
  readonly observationSize: number;
  readonly actionSize: number;
  /** What the model's file says of its normalizer, where it does. */
  readonly normalizer?: NormalizerUse | undefined;
  /** Mean and deviation of raw observations, where the network itself has them. */
  readonly stats?: ObservationStats | undefined;
  readonly emulatedFile?: EmulatedFile;
  /** What a service says of itself, its evidence included. */
  readonly service?: About;
  /** The graph that is run and its input for these observations, where inner values can be had. */
  readonly inner?: { readonly graph: OnnxModel; input(observations: Float32Array): Float32Array };
  /** What runs, step by step, with observations as the robot has them; saved outputs have none. */
  readonly policy?: Policy;
  /** `raw` shape [rows, observationSize] → actions [rows, actionSize]. */
  run(observations: Float32Array, rows: number): Promise<Float32Array>;
  [Symbol.dispose](): void;
}

export interface SideOptions extends ModelWords {
  /** Model for a side that is only a backend's name. */
  readonly model: string | undefined;
  /** Observations as the robot has them, for a side that is int8. */
  readonly calibration: string | undefined;
  /** Are the observations as the robot has them, or already behind the normalizer? */
  readonly space: Space;
  readonly timeoutMs: number;
  /** For a side that is a .rknn, where the NPU's library is. */
  readonly npu: NpuOptions;
}

export function isBackendName(spec: string): spec is keyof typeof BACKENDS {
  return Object.hasOwn(BACKENDS, spec);
}

/** A backend whose ranges come from a calibration set. */
export function isCalibrated(spec: string): boolean {
  return isBackendName(spec) && BACKENDS[spec] === "w8a8";
}

/** `toolkit`, or `toolkit:policy.rknn` for the recipe that is recorded beside that file. */
export const isToolkit = (spec: string): boolean => /^toolkit(?::|$)/.test(spec);

/** Where a recipe's model is looked for: beside the file that has it. */
const recordedOr = (spec: string): string =>
  isToolkit(spec) ? (recordedFile(spec) ?? spec) : spec;

function recordedFile(spec: string): string | undefined {
  return spec.includes(":") ? spec.slice("toolkit:".length) : undefined;
}

/** `policy.rknn`, and what convert refused: `policy.rknn.rejected`. */
const RKNN_NAME = /\.rknn(?:\.rejected)?$/i;

export const isRknnSide = (spec: string): boolean => RKNN_NAME.test(spec);

/** Does a side need a model that none of them names? */
export function needsModel(specs: readonly string[]): boolean {
  const isNamed = specs.some((one) => isModelFile(one) && !isRunAlike(specs, one));
  return takesModel(specs) && !isNamed;
}

const isModelFile = (spec: string): boolean =>
  spec !== "rknn" && ![isBackendName, isEndpoint, isRknnSide, isSaved].some((is) => is(spec));

/**
 * `onnx` beside a checkpoint or a file is the project's: that file itself is run in the same way,
 * and could not differ.
 */
const isRunAlike = (specs: readonly string[], file: string): boolean =>
  specs.includes("onnx") && isModelFile(file);

/** Does a side run a model that it does not name itself? */
export function takesModel(specs: readonly string[]): boolean {
  return specs.some((one) => one === "rknn" || isBackendName(one) || isRknnSide(one));
}

/** The ONNX file that a side runs, or that its .rknn was made from; endpoints have none. */
export function modelPath(side: string, otherSide: string, model: string | undefined): string {
  const [spec = "", other = ""] = [side, otherSide].map((one) => recordedOr(one));
  if (!isBackendName(spec) && !isRknnSide(spec)) return spec;
  const named = namedModel(spec, other, model);
  if (named === undefined && isRknnSide(spec)) {
    throw new Lite3Error(
      "USAGE",
      `Cannot emulate ${quote(spec)}: its network is not known, ` +
        "need the .onnx that it was made from as the other side or with --model",
    );
  }
  return named ?? findOnnx(spec);
}

/** The ONNX file that the words name: by a flag, as the other side, by lite3rl.yaml, or beside a .rknn. */
function namedModel(spec: string, other: string, model: string | undefined): string | undefined {
  const isModel = isModelFile(other) && !isRunAlike([spec], other);
  const files = [spec, other].filter(isRknnSide);
  const source = files.map(madeFrom).find((path) => path !== undefined);
  const beside = files
    .map((path) => path.replace(RKNN_NAME, ".onnx"))
    .find((path) => existsSync(path));
  return model ?? (isModel ? other : undefined) ?? source ?? beside;
}

/** Opens a model file with the backend that `spec` names; a file's own is ONNX Runtime. */
export async function openFileSide(
  spec: string,
  path: string,
  options: SideOptions,
): Promise<Side> {
  if (!existsSync(path) && !/[./]/.test(path)) {
    const near = closest(path, NAMES);
    throw new Lite3Error(
      "USAGE",
      `Cannot compare ${quote(path)}: it is neither a file nor a backend, need an .onnx, ` +
        `.rknn or .pt file, unix:PATH, tcp:HOST:PORT, or one of ${NAMES.join(", ")} ` +
        `(the nearest is ${near})`,
    );
  }
  const file = await readSideModel(path, options);
  const { observationSize } = policyShape(file.model);
  if (isToolkit(spec)) {
    const normalizer = await normalizerFor(file, observationSize, options);
    const backend = await openRecorded(recordedFile(spec), file, normalizer);
    return sideOf(`${spec} (${path})`, backend, normalizer, file);
  }
  if (isRknnSide(spec)) return openRknnSide(spec, file, options);
  const normalizer = await normalizerFor(file, observationSize, options);
  const backend = await openModel(
    file,
    await backendOf(spec, normalizer, observationSize, options),
  );
  return sideOf(isBackendName(spec) ? `${spec} (${path})` : path, backend, normalizer, file);
}

/** What runs the ONNX of a side; ONNX Runtime where only the file is named. */
async function backendOf(
  spec: string,
  normalizer: Normalizer | undefined,
  observationSize: number,
  options: SideOptions,
): Promise<"onnx" | "mlp" | EmulationRecipe> {
  const kind = isBackendName(spec) ? BACKENDS[spec] : "onnx";
  if (kind === "onnx" || kind === "mlp") return kind;
  if (kind !== "w8a8") return { precision: "fp16" };
  const calibration = await readCalibration(spec, normalizer, observationSize, options);
  return { precision: kind, calibration };
}

/** A .rknn on the NPU. Without a record of its own it expects what its ONNX expects. */
export async function openNpuSide(
  path: string,
  other: string,
  options: SideOptions,
): Promise<Side> {
  const file = await readRknnModel(path);
  const onnx = namedModel(path, recordedOr(other), options.model);
  const metadata =
    file.metadata ??
    (onnx === undefined ? undefined : (await readSideModel(onnx, options)).metadata);
  const backend = await openRknnModel(file, options.npu);
  const normalizer = await normalizerFor({ path, metadata }, backend.observationSize, options);
  return sideOf(path, backend, normalizer, { metadata, bytes: file.bytes });
}

/** A .rknn off the board: emulated with its own weights, which are held against its ONNX's. */
async function openRknnSide(path: string, file: ModelFile, options: SideOptions): Promise<Side> {
  const bytes = readFile(path, LIMITS.modelBytes);
  const record = fitRecord({ path, bytes }, file);
  const { layers, proof, backend, fromFile, assumed, weights } = await describeSource(
    "Cannot emulate",
    path,
    async () => {
      const layers = readRknnLayers(bytes);
      return {
        layers,
        proof: compareOperators(layers, file.model),
        weights: proveWeights(bytes, file.model),
        ...(await openRknnEmulated(bytes, file.model)),
      };
    },
  );
  const normalizer = await normalizerFor(file, backend.observationSize, options);
  const emulatedFile = {
    file: path,
    model: file.path,
    weights,
    contradictions: proof.contradictions,
    platforms: layers.graph.file.document.target_platform,
    record,
    fromFile,
    assumed: [...assumed, ...proof.assumed],
  };
  const ofRknn = { ...file, bytes };
  return { ...sideOf(`${path} (emulated)`, backend, normalizer, ofRknn), emulatedFile };
}

function sideOf(
  label: string,
  backend: Backend,
  normalizer: Normalizer | undefined,
  file: Partial<Pick<ModelFile, "metadata" | "model" | "bytes">> = {},
): Side {
  const inside = foldedNormalizer(file);
  const { graph } = backend;
  const inputOf = (observations: Float32Array): Float32Array => {
    const input = Float32Array.from(observations);
    normalizer?.apply(input);
    return input;
  };
  return {
    ...(graph === undefined ? {} : { inner: { graph, input: inputOf } }),
    label,
    sha256: file.bytes && sha256(file.bytes),
    normalizer: file.metadata?.normalizer,
    stats: inside && { mean: inside.mean, std: inside.divisor },
    policy: createPolicy(backend, normalizer),
    evidence: backend.arithmetic,
    observationSize: backend.observationSize,
    actionSize: backend.actionSize,
    async run(observations, rows) {
      const input = inputOf(observations);
      const { update, finish } = progress("parity", rows);
      return runRows(backend, input, rows, { onRows: update }).finally(finish);
    },
    [Symbol.dispose]: () => backend[Symbol.dispose](),
  };
}

/** The calibration set as the network sees it. */
async function readCalibration(
  spec: string,
  normalizer: Normalizer | undefined,
  observationSize: number,
  { calibration }: SideOptions,
): Promise<Float32Array> {
  if (calibration === undefined) {
    throw new Lite3Error(
      "USAGE",
      `Cannot run backend ${quote(spec)}: int8 needs ranges, ` +
        "name observations for them with --calibration calib_obs.npy",
    );
  }
  const { data } = await readObservations(calibration, observationSize);
  const rows = Float32Array.from(data);
  normalizer?.apply(rows);
  return rows;
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

/** Opens a service; what it does not say of its sizes is the other side's. */
export function openEndpointSide(
  spec: string,
  { observationSize, actionSize }: Partial<Pick<Side, "observationSize" | "actionSize">>,
  { timeoutMs }: SideOptions,
): Side {
  const sizes = { observationSize, actionSize };
  const backend = openRemote(parseEndpoint(spec), { ...sizes, timeoutMs, oneModel: true });
  const side = sideOf(spec, backend, undefined);
  return backend.about === undefined ? side : { ...side, service: backend.about };
}

/** What a side answered elsewhere; only for the very observations that it was given there. */
export async function openSavedSide(spec: string, { space }: SideOptions): Promise<Side> {
  const saved = await readSavedSide(spec);
  const { rows, data } = saved.samples;
  return {
    sha256: saved.sha256,
    label: `${saved.label} (${spec})`,
    evidence: saved.evidence,
    observationSize: data.length / rows,
    actionSize: saved.actions.length / rows,
    run(observations) {
      if (space === saved.space && bits(observations).equals(bits(data))) {
        return Promise.resolve(saved.actions);
      }
      throw new Lite3Error(
        "CHECK_FAILED",
        `${spec} answers other observations than the other side: save both sides' outputs for ` +
          "the same inputs, by --save-inputs and --dataset",
      );
    },
    [Symbol.dispose]: () => {},
  };
}
