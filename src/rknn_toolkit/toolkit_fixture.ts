/**
 * For tests: the installed toolkit, a small network as a job for it, and job files as the driver
 * reads them, to be spoiled one by one.
 */

import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom } from "../base/random.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { requireToolkit } from "./environment.ts";
import { ToolkitFailure } from "./failures.ts";
import { JOB_FILES, type ToolkitJob, writeJob } from "./job.ts";
import { runDriver, type RunOptions } from "./run_job.ts";

export const ROWS = 16;

/** TINY_NETWORK with seeded observations [16, 2] to simulate. */
export function tinyJob(precision: "fp16" | "w8a8" = "fp16"): ToolkitJob {
  const random = createRandom(1);
  const observations = Float32Array.from({ length: ROWS * 2 }, () => random.normal());
  const dataset = [{ name: "obs", shape: [1, 2], data: observations }];
  return {
    model: encodeOnnx(modelOf(TINY_NETWORK)),
    target: "rk3588",
    samples: { observations, rows: ROWS, input: "obs", output: "action", state: [] },
    ...(precision === "w8a8" && {
      quantization: { algorithm: "normal", method: "channel", dataset },
    }),
  };
}

/** `job.json`, as far as tests change it. */
export interface JobDocument {
  model: string;
  output: string;
  target: string;
  config?: Record<string, unknown>;
  dataset?: string;
  float16_layers?: string[];
}

export interface Provoked {
  readonly failure: string;
  readonly code: string;
  readonly status: number;
  readonly stage: string;
  readonly message: string;
  /** What lies where the output goes, after all. */
  readonly output: string;
}

export type Spoil = (document: JobDocument, directory: string) => void;

/** Spoils a sound job and runs it; the failure, and an output of before. */
export async function provoke(
  job: ToolkitJob,
  spoil: Spoil,
  options: Partial<RunOptions> & { directory?: string } = {},
): Promise<Provoked> {
  const directory = options.directory ?? mkdtempSync(join(tmpdir(), "lite3rl-test-"));
  const old = join(directory, JOB_FILES.output);
  try {
    writeJob(directory, job);
    writeFileSync(old, "an output of before");
    const path = join(directory, JOB_FILES.job);
    const document = JSON.parse(readFileSync(path, "utf8")) as JobDocument;
    spoil(document, directory);
    writeFileSync(path, JSON.stringify(document));
    await runDriver(requireToolkit(), directory, { timeoutMs: 60_000, ...options });
  } catch (error) {
    if (!(error instanceof ToolkitFailure)) throw error;
    const { failure, code, stage, message, exitStatus: status } = error;
    return { failure, code, status, stage, message, output: readFileSync(old, "utf8") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  throw new Error("the job was carried out, it should fail");
}

/** Processes that have this working directory. */
export function processesIn(directory: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readlinkSync(`/proc/${pid}/cwd`) === directory;
      } catch {
        return false;
      }
    })
    .map(Number);
}
