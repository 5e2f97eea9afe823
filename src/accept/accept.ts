/**
 * An acceptance, from the board's state to the verdict: each stage measures or says why it cannot,
 * in an order in which none disturbs another. Power is read before anything runs and through the
 * run of the gait, its load.
 */

import { cpus, release } from "node:os";
import { join } from "node:path";
import { version } from "../../package.json" with { type: "json" };
import { turnEventLoop } from "../base/event_loop.ts";
import { Lite3Error } from "../base/errors.ts";
import { openFile } from "../base/files.ts";
import { notice } from "../base/log.ts";
import type { Stop } from "../base/stop.ts";
import { progress } from "../cli/output.ts";
import type { ProgramOptions } from "../environment/program.ts";
import { readObservationStats } from "../policy/normalizer.ts";
import type { AcceptDocument, AcceptLimits, Measured, RowName } from "../report/accept_document.ts";
import type { NpuOptions } from "../runtime/open_rknn.ts";
import type { Policy } from "../runtime/policy.ts";
import { openRemote } from "../runtime/remote.ts";
import { parseEndpoint } from "../wire/endpoint.ts";
import { watchBoard } from "./board.ts";
import { describeFiles } from "./files.ts";
import { measureGait } from "./gait.ts";
import { judgeAcceptance } from "./judge.ts";
import { measureLatency } from "./latency.ts";
import { measureParity } from "./parity.ts";
import { openPower, type PowerOptions } from "./power.ts";
import { type PowerRecorder, recordPower } from "./power_recorder.ts";
import { measurePreprocessing } from "./preprocessing.ts";
import { askGiven, type RunningService, startOwn } from "./service.ts";
import { openSubject, type Subject } from "./subject.ts";

export interface AcceptOptions extends PowerOptions {
  readonly model: string;
  readonly onnx?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly dataset?: string | undefined;
  readonly limitsPath?: string | undefined;
  readonly service?: string | undefined;
  readonly env: string;
  readonly program: ProgramOptions;
  readonly seed: number;
  readonly durationS: number;
  readonly timeoutMs: number;
  readonly governor?: string | undefined;
  readonly npu: NpuOptions;
  readonly limits: AcceptLimits;
  readonly allowMissing: readonly RowName[];
  /** Where the run's log is written, and a directory for what is only needed meanwhile. */
  readonly logPath: string;
  readonly directory: string;
  readonly stop: Stop;
}

export interface Accepted {
  readonly document: Omit<AcceptDocument, "members">;
  readonly serviceLog: string;
}

/** Idle power is read for so long, or a tenth of a shorter run. */
const IDLE_S = 10;
/** Readings of power per second, and at least so many in all. */
const POWER_HZ = 1;
const READINGS_MIN = 40;

/** Throws for what the user must mend before anything runs, and where a signal came. */
export async function accept(options: AcceptOptions): Promise<Accepted> {
  const startedAt = new Date().toISOString();
  const { model, limits, allowMissing, stop } = options;
  const elsewhere = otherMachine(options.service);
  const source = openPower(options, elsewhere);
  for (const path of [model, options.onnx, options.obsStats, options.dataset]) {
    if (path !== undefined) openFile(path)[Symbol.dispose]();
  }
  using board = await watchBoard({ ...options, librknnrt: options.npu.librknnrt });
  const readings = Math.max(POWER_HZ, READINGS_MIN / options.durationS);
  using power = "read" in source ? recordPower(source, 1 / readings) : undefined;
  if (power !== undefined) await idle(Math.min(IDLE_S, options.durationS / 10), stop);
  using subject = await openSubject(options);
  const { measured, serviceLog } = await measure(options, subject, power).catch(
    async (error: unknown) => {
      await turnEventLoop();
      checkGoesOn(stop);
      throw error;
    },
  );
  const found: Measured = {
    ...measured,
    ...(elsewhere !== undefined && { preprocessing: { state: "missing", why: elsewhere } }),
    power: power?.finish() ?? { state: "missing", why: missingOf(source) },
    board: elsewhere === undefined ? await board.finish() : { state: "missing", why: elsewhere },
  };
  checkGoesOn(stop);
  const document = {
    format: 1 as const,
    ...judgeAcceptance(found, limits, allowMissing),
    version,
    startedAt,
    endedAt: new Date().toISOString(),
    machine: `${process.arch}, ${cpus().length} cores, Linux ${release()}, Bun ${Bun.version}`,
    model,
    limits,
    allowMissing: [...allowMissing],
    measured: found,
    files: describeFiles(options, subject),
  };
  return { document, serviceLog };
}

/** Why this machine's sensors, clocks and CPU are not those of the service that is given. */
function otherMachine(service: string | undefined): string | undefined {
  const address = service === undefined ? undefined : parseEndpoint(service);
  if (address?.kind !== "tcp" || address.host.startsWith("127.")) return undefined;
  return `the service at ${service} is on another machine, run lite3rl accept there`;
}

const missingOf = (source: object): string => ("missing" in source ? String(source.missing) : "");

export function checkGoesOn(stop: { readonly requested: boolean }): void {
  if (stop.requested) throw new Lite3Error("CHECK_FAILED", "Interrupted: nothing was archived");
}

async function idle(seconds: number, stop: Stop): Promise<void> {
  notice(`accept: power before anything runs, ${seconds.toFixed(0)} s`);
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end && !stop.requested) await Bun.sleep(20);
  checkGoesOn(stop);
}

type Stages = Pick<Measured, "latency" | "preprocessing" | "parity" | "gait" | "service">;

async function measure(
  options: AcceptOptions,
  subject: Subject,
  power: PowerRecorder | undefined,
): Promise<{ readonly measured: Stages; readonly serviceLog: string }> {
  const { stop } = options;
  const say = (stage: string): void => {
    checkGoesOn(stop);
    notice(`accept: ${stage}`);
  };
  say("service");
  const service = await openService(options, subject);
  try {
    say("latency");
    const latency = await latencyStage(options, subject, service);
    say("preprocessing");
    const preprocessing = await preprocessingStage(subject.policy, options.seed);
    say("parity");
    const parity = await measureParity(options, subject, service.running?.endpoint);
    say(`gait, ${options.durationS} s`);
    power?.load();
    const gait = await gaitStage(options, service);
    checkGoesOn(stop);
    const ended = await service.running
      ?.finish()
      .catch((error: Error): Awaited<ReturnType<RunningService["finish"]>> => ({
        found: { state: "failed", why: error.message },
        log: `${error.message}\n`,
      }));
    return {
      measured: { latency, preprocessing, parity, gait, service: ended?.found ?? service.found },
      serviceLog: ended?.log ?? `${service.found.why}\n`,
    };
  } catch (error) {
    await service.running?.abandon();
    throw error;
  }
}

interface OpenedService {
  readonly running: RunningService | undefined;
  /** Where none runs: why. */
  readonly found: { readonly state: "missing" | "failed"; readonly why: string };
}

async function openService(options: AcceptOptions, subject: Subject): Promise<OpenedService> {
  const { npu, timeoutMs, directory, service: given, obsStats } = options;
  const { policy, path } = subject;
  if (policy === undefined && given === undefined) {
    return { running: undefined, found: { state: "missing", why: subject.noNpu ?? "" } };
  }
  const { observationSize = 0, actionSize = 0 } = policy ?? {};
  const wanted = {
    model: given === undefined ? path : options.model,
    obsStats,
    librknnrt: npu.librknnrt,
    core: npu.core ?? "auto",
    io: npu.io ?? "auto",
    timeoutMs,
    observationSize,
    actionSize,
  };
  const none = { state: "missing", why: "" } as const;
  // A service that is given and does not answer, or has another model, ends it all at once.
  if (given !== undefined) return { running: askGiven(wanted, given), found: none };
  try {
    return { running: await startOwn(wanted, join(directory, "s")), found: none };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return { running: undefined, found: { state: "failed", why: error.message } };
  }
}

async function latencyStage(
  options: AcceptOptions,
  { policy, path, noNpu }: Subject,
  { running }: OpenedService,
): Promise<Measured["latency"]> {
  const { limits, seed, stop, service: given, obsStats } = options;
  const isGiven = given !== undefined && running !== undefined;
  if (!isGiven && policy === undefined) return { state: "missing", why: noNpu ?? "" };
  const stats = isGiven && obsStats ? await readObservationStats(obsStats) : undefined;
  const { observationSize = 0, actionSize = 0 } = policy ?? {};
  const sizes = { observationSize, actionSize, timeoutMs: options.timeoutMs };
  using remote = isGiven
    ? openRemote(parseEndpoint(given), { ...sizes, oneModel: true })
    : undefined;
  const backend = remote ?? policy?.backend;
  if (backend === undefined) return { state: "missing", why: noNpu ?? "" };
  const byWord = `the service at ${given} says that it rests on ${backend.arithmetic}`;
  const bar = progress("latency, seconds", limits.latency_duration_s);
  return await measureLatency({
    backend,
    subject: given ?? path,
    stats,
    noNpu: backend.arithmetic === "npu" ? null : isGiven ? byWord : noNpu,
    queriesMin: limits.latency_queries_min,
    durationMinS: limits.latency_duration_s,
    seed,
    stop,
    onQuery: (seconds) => bar.update(Math.floor(seconds)),
  }).finally(() => bar.finish());
}

async function preprocessingStage(
  policy: Policy | undefined,
  seed: number,
): Promise<Measured["preprocessing"]> {
  if (policy !== undefined) return measurePreprocessing(policy, seed);
  return { state: "missing", why: "the model could not be opened, nor an .onnx of it" };
}

async function gaitStage(
  options: AcceptOptions,
  { running, found }: OpenedService,
): Promise<Measured["gait"]> {
  if (running === undefined) return { state: "missing", why: `no service: ${found.why}` };
  return measureGait({ ...options, endpoint: running.endpoint });
}
