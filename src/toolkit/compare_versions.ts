/**
 * One model through two versions of the toolkit: does it still convert, how large, how close. So
 * that an upgrade is tried on one model before all.
 */

import { Lite3Error } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { compareActions } from "../compare/statistics.ts";
import { type HeldOut, holdOut } from "../dataset/hold_out.ts";
import { generateObservations } from "../dataset/generate_observations.ts";
import { readObservations } from "../dataset/observations.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { outputNames } from "../policy/contract.ts";
import { fixBatch } from "../policy/fixed_batch.ts";
import { type InstalledToolkit, requireToolkit } from "../rknn_toolkit/environment.ts";
import { ToolkitFailure } from "../rknn_toolkit/failures.ts";
import type { Quantization } from "../rknn_toolkit/job.ts";
import { runToolkitJob } from "../rknn_toolkit/run_job.ts";
import { chooseNormalizer, type ModelFile, readModel } from "../runtime/open.ts";
import { openOnnx } from "../runtime/onnx.ts";
import { policyShape } from "../runtime/policy_shape.ts";
import { runRows } from "../runtime/run_rows.ts";

export interface VersionsOptions {
  readonly versions: readonly [string, string];
  readonly model: string;
  /** Before any normalizer; makes an int8 build too. Generated as the network sees it if absent. */
  readonly dataset?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly target: string;
  readonly mae: number;
  readonly signal?: AbortSignal;
}

export interface VersionBuild {
  readonly version: string;
  readonly precision: "fp16" | "w8a8";
  readonly bytes?: number;
  readonly sha256?: string;
  readonly seconds?: number;
  readonly mae?: number;
  readonly max?: number;
  /** Within the gate. */
  readonly pass: boolean;
  readonly failure?: string;
  readonly message?: string;
}

const ROWS = 256;
const TIMEOUT_MS = 300_000;

/** Builds of both versions, the old one's first. */
export async function compareVersions(options: VersionsOptions): Promise<VersionBuild[]> {
  const toolkits = options.versions.map((version) => requireToolkit(version));
  const file = await readModel(options.model);
  const model = fixBatch(file.model);
  const bytes = encodeOnnx(model);
  const shape = policyShape(model);
  if (shape.state.length > 0) {
    throw new Lite3Error(
      "UNSUPPORTED",
      "Cannot compare versions on a recurrent policy: need one without state",
    );
  }
  const samples = await chooseSamples(file, shape.observationSize, options);
  using reference = await openOnnx(bytes, model);
  const expected = await runRows(reference, samples.heldOut, samples.heldOutRows);
  const names = outputNames(shape.actionSize);
  const width = [1, shape.observationSize];
  const dataset = [{ name: shape.input.name, shape: width, data: samples.calibration }];
  const int8 = { algorithm: "normal", method: "channel", dataset } as const;
  const builds: VersionBuild[] = [];
  for (const quantization of options.dataset === undefined ? [undefined] : [undefined, int8]) {
    for (const toolkit of toolkits) {
      const recipe = { bytes, samples, expected, names, quantization };
      const io = { input: shape.input.name, output: shape.output.name };
      builds.push(await build(toolkit, { ...options, ...recipe, ...io }));
    }
  }
  return builds;
}

/** Rows that calibrate and others that judge, both as the network sees them. */
async function chooseSamples(
  file: ModelFile,
  observationSize: number,
  { dataset, obsStats }: VersionsOptions,
): Promise<Pick<HeldOut, "calibration" | "heldOut" | "heldOutRows">> {
  if (dataset === undefined) {
    const { data, rows } = generateObservations(ROWS, observationSize, 0, undefined);
    return { calibration: new Float32Array(0), heldOut: data, heldOutRows: rows };
  }
  const set = await readObservations(dataset, observationSize);
  (await chooseNormalizer(file, observationSize, obsStats))?.apply(set.data);
  return holdOut(set, 0, false);
}

/** Precisions that the old version passes and the new one does not. */
export function regressions(builds: readonly VersionBuild[], [old, now]: readonly string[]) {
  const passed = (version: string | undefined, precision: string): boolean =>
    builds.some((one) => one.version === version && one.precision === precision && one.pass);
  return (["fp16", "w8a8"] as const).filter(
    (precision) => passed(old, precision) && !passed(now, precision),
  );
}

interface Build extends VersionsOptions {
  readonly bytes: Uint8Array;
  readonly samples: Pick<HeldOut, "heldOut" | "heldOutRows">;
  readonly expected: Float32Array;
  readonly names: readonly string[];
  readonly quantization: Quantization | undefined;
  readonly input: string;
  readonly output: string;
}

async function build(toolkit: InstalledToolkit, job: Build): Promise<VersionBuild> {
  const precision = job.quantization === undefined ? "fp16" : "w8a8";
  const about = { version: toolkit.version, precision } as const;
  const { heldOut: observations, heldOutRows: rows } = job.samples;
  try {
    const { rknn, simulated, seconds } = await runToolkitJob(
      toolkit,
      {
        model: job.bytes,
        target: job.target,
        ...(job.quantization && { quantization: job.quantization }),
        samples: { observations, rows, input: job.input, output: job.output, state: [] },
      },
      { timeoutMs: TIMEOUT_MS, ...(job.signal && { signal: job.signal }) },
    );
    const { mae, max } = compareActions(job.expected, simulated ?? new Float32Array(), job.names);
    const file = { bytes: rknn.length, sha256: sha256(rknn), seconds };
    return { ...about, ...file, mae, max, pass: mae <= job.mae };
  } catch (error) {
    if (!(error instanceof ToolkitFailure) || error.failure === "interrupted") throw error;
    return { ...about, pass: false, failure: error.failure, message: error.message };
  }
}
