/**
 * What the toolkit is asked to do, and what it gives back.
 *
 * A job becomes a private directory: `job.json` for driver.py, the model, one .npy a sample and
 * input (s00000.npy …, their names relative, since the toolkit splits its list at spaces).
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { assert } from "../base/assert.ts";
import { writeNpy } from "../formats/npy.ts";

export interface CalibrationInput {
  /** The model's input; the entries are in the model's order. */
  readonly name: string;
  /** Of one sample, as the model has it: [1, 45], or [layers, 1, hidden] for a state. */
  readonly shape: readonly number[];
  /** The samples one after the other. */
  readonly data: Float32Array;
}

export interface Quantization {
  readonly algorithm: "normal" | "mmse" | "kl_divergence";
  readonly method: "channel" | "layer";
  readonly dataset: readonly CalibrationInput[];
  /** Hybrid: ONNX node outputs that stay float16, each with the activation behind it. */
  readonly float16Layers?: readonly string[];
}

/** Observations for the toolkit's simulator; state goes from row to row, zeros first. */
export interface Samples {
  /** [rows, N] */
  readonly observations: Float32Array;
  readonly rows: number;
  readonly input: string;
  readonly output: string;
  readonly state: readonly {
    readonly input: string;
    readonly output: string;
    readonly shape: readonly number[];
  }[];
}

export interface ToolkitJob {
  /** ONNX bytes, every dimension fixed, batch 1. */
  readonly model: Uint8Array;
  readonly target: string;
  /** Absent: float16. */
  readonly quantization?: Quantization;
  readonly samples?: Samples;
}

export interface ToolkitResult {
  readonly rknn: Uint8Array;
  /** [rows, A] */
  readonly simulated?: Float32Array;
  /** Hybrid: the toolkit's own names of the layers that were set to float16. */
  readonly layers?: readonly string[];
  /** Seconds of each stage: import, config, load, build (or hybrid1, hybrid2), export … */
  readonly stages: Readonly<Record<string, number>>;
  /** Of the whole process. */
  readonly seconds: number;
  readonly versions: Readonly<Record<string, string>>;
  /** The toolkit's own words, without colours and carriage returns. */
  readonly log: string;
}

/** Names within the job's directory. */
export const JOB_FILES = {
  driver: "driver.py",
  job: "job.json",
  model: "model.onnx",
  output: "model.rknn",
  dataset: "dataset.txt",
  samples: "samples.npy",
  actions: "actions.npy",
  log: "log.txt",
  temporary: "tmp",
} as const;

/** Writes everything that the driver reads, but for the driver itself. */
export function writeJob(directory: string, job: ToolkitJob): void {
  const { quantization, samples } = job;
  writeFileSync(join(directory, JOB_FILES.model), job.model);
  if (quantization !== undefined) writeDataset(directory, quantization.dataset);
  if (samples !== undefined) writeSamples(directory, samples);
  const document = {
    model: JOB_FILES.model,
    output: JOB_FILES.output,
    target: job.target,
    ...(quantization && {
      quantize: true,
      config: {
        quantized_algorithm: quantization.algorithm,
        quantized_method: quantization.method,
      },
      dataset: JOB_FILES.dataset,
      float16_layers: quantization.float16Layers,
    }),
    ...(samples && {
      samples: {
        observations: JOB_FILES.samples,
        actions: JOB_FILES.actions,
        input: samples.input,
        output: samples.output,
        state: samples.state,
      },
    }),
  };
  writeFileSync(join(directory, JOB_FILES.job), JSON.stringify(document));
}

function writeDataset(directory: string, inputs: readonly CalibrationInput[]): void {
  const sizes = inputs.map(({ shape }) => shape.reduce((size, n) => size * n, 1));
  const rows = inputs.length === 0 ? 0 : (inputs[0]?.data.length ?? 0) / (sizes[0] ?? 1);
  inputs.forEach(({ name, data }, i) => {
    assert(data.length === rows * (sizes[i] ?? 0), `rows of calibration input ${name}`);
  });
  mkdirSync(join(directory, JOB_FILES.temporary), { recursive: true });
  const lines: string[] = [];
  for (let row = 0; row < rows; row++) {
    const names = inputs.map(({ shape, data }, i) => {
      const size = sizes[i] ?? 0;
      const name = `s${String(row).padStart(5, "0")}${inputs.length > 1 ? `_${i}` : ""}.npy`;
      const values = data.subarray(row * size, (row + 1) * size);
      writeFileSync(join(directory, name), float32Npy(shape, values));
      return name;
    });
    lines.push(`${names.join(" ")}\n`);
  }
  writeFileSync(join(directory, JOB_FILES.dataset), lines.join(""));
}

function writeSamples(directory: string, { observations, rows }: Samples): void {
  const width = rows === 0 ? 0 : observations.length / rows;
  assert(rows > 0 && Number.isInteger(width), "rows of samples");
  writeFileSync(join(directory, JOB_FILES.samples), float32Npy([rows, width], observations));
}

function float32Npy(shape: readonly number[], data: Float32Array): Uint8Array {
  return writeNpy({ dtype: "float32", shape, data: Float32Array.from(data) });
}
