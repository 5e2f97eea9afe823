/**
 * A program for a test: a job of the toolkit that takes some time, since it has many samples to
 * read. Says each stage on stdout; exits with the failure's status.
 */

import { Lite3Error } from "../base/errors.ts";
import { requireToolkit } from "./environment.ts";
import { runToolkitJob } from "./run_job.ts";
import { tinyJob } from "./toolkit_fixture.ts";

try {
  const job = tinyJob("w8a8");
  const rows = 2_000;
  const data = new Float32Array(rows * 2).fill(0.5);
  const dataset = [{ name: "obs", shape: [2], data }];
  const quantization = { algorithm: "mmse", method: "channel", dataset } as const;
  await runToolkitJob(
    requireToolkit(),
    { ...job, quantization },
    { timeoutMs: 100_000, onStage: (stage) => process.stdout.write(`${stage}\n`) },
  );
} catch (error) {
  process.exitCode = error instanceof Lite3Error ? error.exitStatus : 70;
}
