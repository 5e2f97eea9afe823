/**
 * Runs one job of the toolkit in a process of its own, and survives everything that it does.
 *
 * The toolkit raises, returns -1, calls exit(), ends the process from native code, or hangs. So:
 * a private directory that is removed whatever happens, a clean environment, a process group that
 * is killed as a whole at the end, at the time limit and on Ctrl-C, and JSON lines on a descriptor
 * that nothing else writes to. No last line means that the process did not get to say one.
 */

import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import * as v from "valibot";
import { makeTemporaryDirectory } from "../base/files.ts";
import { ownerMark, removeAbandoned } from "../base/owner.ts";
import { readNpy } from "../formats/npy.ts";
import { toFloat32 } from "../formats/tensor.ts";
import driver from "./driver.py" with { type: "text" };
import type { InstalledToolkit } from "./environment.ts";
import { TOOLKIT_FAILURES, ToolkitFailure, type ToolkitFailureName } from "./failures.ts";
import { type GroupEnd, runGroup } from "./process_group.ts";
import { JOB_FILES, type ToolkitJob, type ToolkitResult, writeJob } from "./job.ts";

export interface RunOptions {
  /** Of the whole process; then its group is killed. */
  readonly timeoutMs: number;
  /** Called when a stage begins, with its name. */
  readonly onStage?: (stage: string) => void;
  /** Ends the job, as Ctrl-C does. */
  readonly signal?: AbortSignal;
}

const SECONDS = v.record(v.string(), v.number());
const RESULT = v.variant("ok", [
  v.object({
    ok: v.literal(true),
    layers: v.exactOptional(v.array(v.string())),
    stages: SECONDS,
    seconds: v.number(),
    versions: v.record(v.string(), v.string()),
  }),
  v.object({
    ok: v.literal(false),
    failure: v.picklist(Object.keys(TOOLKIT_FAILURES) as ToolkitFailureName[]),
    stage: v.string(),
    message: v.string(),
    stages: SECONDS,
    seconds: v.number(),
  }),
]);
const LINE = v.union([v.object({ stage: v.string() }), v.object({ result: RESULT })]);

/** What driver.py says of a job that it carried out. */
export type DriverResult = Extract<v.InferOutput<typeof RESULT>, { ok: true }> & { log: string };

/** Converts one model. Throws ToolkitFailure; nothing is left behind either way. */
export async function runToolkitJob(
  toolkit: InstalledToolkit,
  job: ToolkitJob,
  options: RunOptions,
): Promise<ToolkitResult> {
  const place = workPlace();
  removeAbandoned(place, (name) => name.startsWith(JOB_PREFIX));
  const directory = makeTemporaryDirectory(place, `${JOB_PREFIX}${ownerMark()}-`);
  try {
    prepare(toolkit, directory, job);
    const { ok: _, ...result } = await runDriver(toolkit, directory, options);
    const rknn = new Uint8Array(readFileSync(join(directory, JOB_FILES.output)));
    if (job.samples === undefined) return { rknn, ...result };
    const simulated = toFloat32(readNpy(readFileSync(join(directory, JOB_FILES.actions))));
    return { rknn, simulated, ...result };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

const JOB_PREFIX = "lite3rl-toolkit-";

/** Room for a large model with all that the toolkit writes beside it. */
const SHARED_MEMORY_BYTES = 1 << 30;

/**
 * Where jobs have their directories: in memory, where there is enough and the user has not named a
 * place, since a file a sample takes a disk up to a millisecond each.
 */
function workPlace(): string {
  const memory = "/dev/shm";
  if (process.env.TMPDIR || !existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  try {
    accessSync(memory, constants.W_OK | constants.X_OK);
  } catch {
    return tmpdir();
  }
  return bavail * bsize >= SHARED_MEMORY_BYTES ? memory : tmpdir();
}

function prepare(toolkit: InstalledToolkit, directory: string, job: ToolkitJob): void {
  try {
    writeJob(directory, job);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    const words = (error as Error).message;
    throw new ToolkitFailure("write-failed", {
      version: toolkit.version,
      stage: "start",
      words,
      log: "",
    });
  }
}

/** Runs driver.py in a directory that holds a `job.json` and what that names. */
export async function runDriver(
  toolkit: InstalledToolkit,
  directory: string,
  options: RunOptions,
): Promise<DriverResult> {
  let stage = "start";
  let result: v.InferOutput<typeof RESULT> | undefined;
  const { ended, exitCode, signalCode } = await startDriver(toolkit, directory, options, (line) => {
    const said = v.parse(LINE, JSON.parse(line));
    if ("result" in said) {
      result = said.result;
    } else {
      ({ stage } = said);
      options.onStage?.(stage);
    }
  });
  const log = readLog(directory);
  const fail = (failure: ToolkitFailureName, words: string): ToolkitFailure =>
    new ToolkitFailure(failure, { version: toolkit.version, stage, words, log });
  if (ended === "interrupted") throw fail("interrupted", "");
  if (result?.ok === true) return { ...result, log };
  if (result !== undefined) {
    const { failure, message } = result;
    if (failure !== "rc" && failure !== "sim" && failure !== "exit") throw fail(failure, message);
    const words = lastWords(log);
    const isDataset = failure === "rc" && /dataset/i.test(words);
    throw fail(isDataset ? "dataset-missing" : failure, `${message}: ${words}`);
  }
  if (ended === "timeout") throw fail("timeout", `after ${options.timeoutMs / 1000} s`);
  if (signalCode !== null) throw fail(signalCode === "SIGKILL" ? "killed" : "crashed", signalCode);
  throw fail("native-exit", `exit status ${exitCode}: ${lastWords(log)}`);
}

function startDriver(
  toolkit: InstalledToolkit,
  directory: string,
  { timeoutMs, signal }: RunOptions,
  onLine: (line: string) => void,
): Promise<GroupEnd> {
  const temporary = join(directory, JOB_FILES.temporary);
  mkdirSync(temporary, { recursive: true });
  writeFileSync(join(directory, JOB_FILES.driver), driver);
  const env = {
    PATH: "/usr/local/bin:/usr/bin:/bin",
    LANG: "C.UTF-8",
    HOME: directory,
    TMPDIR: temporary,
    // The toolkit writes bytes of freed memory into its files; this makes them the same ones.
    MALLOC_PERTURB_: "255",
    OMP_NUM_THREADS: "1",
  };
  const stderr = openSync(join(directory, JOB_FILES.log), "w");
  // -I: no PYTHON* variable, no user site, no module from the working directory.
  const command = [toolkit.python, "-I", JOB_FILES.driver, JOB_FILES.job];
  return runGroup(command, { cwd: directory, env, stderr, onLine, timeoutMs, signal }).finally(() =>
    closeSync(stderr),
  );
}

/** The log as a terminal would show it: no colours, and of a redrawn line the last state. */
function readLog(directory: string): string {
  const text = readFileSync(join(directory, JOB_FILES.log), "utf8");
  const lines = stripVTControlCharacters(text).split("\n");
  return lines
    .map((line) => line.trimEnd().split("\r").at(-1) ?? "")
    .filter((line) => line !== "")
    .join("\n");
}

/** The toolkit's last lines of error, or its last line: where an exit status says nothing. */
function lastWords(log: string): string {
  const lines = log.split("\n").filter((line) => line.trim() !== "");
  const errors = lines.filter((line) => line.startsWith("E ")).slice(-2);
  const words = (errors.length > 0 ? errors : lines.slice(-1)).map((line) => line.trim());
  return words.join(" ").slice(0, 400);
}
