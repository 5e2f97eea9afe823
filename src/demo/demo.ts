/**
 * One policy from checkpoint to a walking robot: export → collect → serve → agent → parity →
 * result page. Every stage is the verb of that name; nothing is prepared beforehand.
 */

import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takeLock } from "../../ffi/lock.ts";
import { type Episode, runEpisode } from "../closed_loop/episode.ts";
import { summariseWalk, type WalkSummary } from "../agent/summary.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { makeDirectory, makeTemporaryDirectory, writeFileAtomic } from "../base/files.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { notice } from "../base/log.ts";
import { figure, progress, seconds } from "../cli/output.ts";
import { collect } from "../collect/collect.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import { createLite3 } from "../environment/lite3.ts";
import { exportCheckpoint } from "../export/export_checkpoint.ts";
import { compareSides, type ParityOptions, type ParityResult } from "../parity/compare_sides.ts";
import type { DemoStage } from "../report/demo_page.ts";
import { doubleOfOnnx } from "../runtime/double_of_rknn.ts";
import { readModel } from "../runtime/open.ts";
import { createPolicy } from "../runtime/policy.ts";
import { openRemote } from "../runtime/remote.ts";
import { unpackDemoPolicy } from "../policy/demo_policy.ts";
import { type ServiceProcess, startService } from "../service/service_process.ts";

/** The walk: policy time, command, and what counts as having walked. */
export const WALK_S = 10;
export const WALK_COMMAND = [0.5, 0, 0] as const;
/** The demo policy walks 5.7 m; far less or more is another policy or another physics. */
const WALKED_M = { min: 4.5, max: 7 } as const;
/** Standing: time, and how far the torso may drift. */
const STAND_S = 4;
const DRIFT_MAX_M = 0.1;
const SAMPLES = 2048;
const RATE_HZ = 50;
const TIMEOUT_MS = 10_000;

export interface Walk {
  readonly episode: Episode;
  readonly summary: WalkSummary;
  readonly trajectorySha256: string;
}

export interface DemoResult {
  readonly stages: readonly DemoStage[];
  readonly walk: Walk;
  readonly stand: Walk;
  /** The policy against its fp16 emulation. */
  readonly parity: ParityResult;
  /** The policy against the service: the same numbers must come through the socket. */
  readonly service: ParityResult;
  /** The policy against the same in the test double of the NPU library, with `--double`. */
  readonly npu?: ParityResult;
}

interface Outcome<T> {
  readonly value: T;
  readonly ok: boolean;
  readonly detail: string;
}

/**
 * Runs all stages in `directory`. Throws when one cannot run; a stage that fails is `!ok`.
 *
 * @param double absolute path of the test double of the NPU library; without it no stage `npu`
 */
export async function runDemo(
  directory: string,
  stop: { readonly requested: boolean },
  double?: string,
): Promise<DemoResult> {
  const stages: DemoStage[] = [];
  const stage = async <T>(
    name: string,
    ranOn: string,
    run: () => Promise<Outcome<T>>,
  ): Promise<T> => {
    if (stop.requested) throw new Lite3Error("CHECK_FAILED", `Interrupted before ${name}`);
    const started = performance.now();
    const { value, ok, detail } = await run();
    const took = (performance.now() - started) / 1000;
    stages.push({ name, seconds: took, ok, ranOn, detail });
    notice(`${name}: ${ok ? "ok" : "FAILED"}, ${seconds(took)}`);
    return value;
  };

  makeDirectory(directory, "name a directory that can be written");
  using _lock = takeLock(join(directory, ".lock")) ?? refuseSecond(directory);
  // A socket's path has at most 107 bytes: it gets a directory of its own with a short name.
  const socketDirectory = makeTemporaryDirectory(tmpdir(), "lite3rl-");
  using _socketDirectory = {
    [Symbol.dispose]: () => rmSync(socketDirectory, { recursive: true, force: true }),
  };
  const inputs = await unpackDemoPolicy(directory);
  const { obsStats } = inputs;
  const model = join(directory, "policy.onnx");
  const dataset = join(directory, "calib_obs.npy");
  const socket = join(socketDirectory, "policy.sock");

  await stage("export", "CPU", () => exportStage(inputs, model));
  await stage("collect", "CPU, MuJoCo", () => collectStage(model, obsStats, dataset));
  const service = await stage("serve", "CPU, second process", () =>
    serveStage(model, obsStats, socket),
  );
  try {
    const sides = { a: model, obsStats, dataset, seed: 0, timeoutMs: TIMEOUT_MS };
    const walk = await stage("walk", "CPU, MuJoCo, socket", () => walkStage(socket, stop));
    const stand = await stage("stand", "CPU, MuJoCo, socket", () => standStage(socket, stop));
    const same = await stage("service", "CPU, socket", () =>
      parityStage({ ...sides, a: "mlp", model, b: `unix:${socket}` }, 0),
    );
    await service.stop();
    const parity = await stage("parity", "CPU, fp16 emulated", () =>
      parityStage({ ...sides, b: "emulated" }, MAE_GATE),
    );
    const shown = { stages, walk, stand, parity, service: same };
    if (double === undefined) return shown;
    const rknn = join(directory, "policy.double.rknn");
    const npu = await stage("npu", "CPU, test double of the NPU library", () =>
      doubleStage({ ...sides, b: rknn }, double),
    );
    return { ...shown, npu };
  } catch (error) {
    await service.stop().catch(() => undefined);
    // Ctrl-C ends the service too, and its missing answer may be noticed before the signal.
    await turnEventLoop();
    throw stop.requested ? new Lite3Error("CHECK_FAILED", "Interrupted") : error;
  }
}

function refuseSecond(directory: string): never {
  throw new Lite3Error(
    "BUSY",
    `Another demo is running in ${quote(directory)}: wait for it, or choose another --output`,
  );
}

async function exportStage(
  inputs: { checkpoint: string; config: string; obsStats: string },
  model: string,
): Promise<Outcome<void>> {
  const result = await exportCheckpoint({
    ...inputs,
    output: model,
    normalizer: "external",
    outputName: "action",
    dynamicBatch: false,
    check: true,
  });
  const difference = figure(result.check?.max ?? NaN);
  const detail = `${result.widths}, ${result.activation}, largest difference ${difference}`;
  return { value: undefined, ok: result.check !== null, detail };
}

async function collectStage(
  model: string,
  obsStats: string,
  output: string,
): Promise<Outcome<void>> {
  const result = await collect({
    env: "lite3",
    policy: model,
    samples: SAMPLES,
    output,
    obsStats,
    start: "standing",
    rateHz: RATE_HZ,
    seed: 0,
  });
  const { samples, episodes, falls } = result;
  const detail = `${samples} observations, ${episodes} episodes, ${falls} falls`;
  return { value: undefined, ok: falls === 0, detail };
}

async function serveStage(
  model: string,
  obsStats: string,
  socket: string,
): Promise<Outcome<ServiceProcess>> {
  const flags = ["--model", model, "--obs-stats", obsStats, "--socket", socket, "--warmup", "16"];
  const value = await startService(flags);
  return { value, ok: true, detail: value.ready.split(" · ").slice(2).join(", ") };
}

async function walkStage(
  socket: string,
  stop: { readonly requested: boolean },
): Promise<Outcome<Walk>> {
  const walk = await act(socket, WALK_COMMAND, WALK_S, true, stop);
  const { walkedM, falls, overruns, steps } = walk.summary;
  const ok = falls === 0 && walkedM >= WALKED_M.min && walkedM <= WALKED_M.max;
  const late = `${overruns} of ${steps} overruns`;
  const detail = `${walkedM.toFixed(2)} m in ${WALK_S} s, ${falls} falls, ${late}`;
  return { value: walk, ok, detail };
}

async function standStage(
  socket: string,
  stop: { readonly requested: boolean },
): Promise<Outcome<Walk>> {
  const stand = await act(socket, [0, 0, 0], STAND_S, false, stop);
  const { walkedM, falls, feetDown } = stand.summary;
  const ok = falls === 0 && feetDown === 4 && Math.abs(walkedM) <= DRIFT_MAX_M;
  const detail = `command 0: ${feetDown} feet down, drift ${Math.abs(walkedM).toFixed(3)} m`;
  return { value: stand, ok, detail };
}

async function act(
  socket: string,
  command: readonly [number, number, number],
  durationS: number,
  realTime: boolean,
  stop: { readonly requested: boolean },
): Promise<Walk> {
  using environment = await createLite3({ command, rateHz: RATE_HZ });
  const { observationSize, actionSize, controlPeriodMs } = environment;
  const sizes = { observationSize, actionSize, timeoutMs: TIMEOUT_MS };
  using policy = createPolicy(openRemote({ kind: "unix", path: socket }, sizes));
  const steps = durationS * RATE_HZ;
  const { update, finish } = progress("walk", steps);
  const options = { environment, policy, steps, seed: 0, realTime, stop, onStep: update };
  const episode = await runEpisode(options).finally(finish);
  if (episode.interrupted) throw new Lite3Error("CHECK_FAILED", "Interrupted");
  return {
    episode,
    summary: summariseWalk(episode, command, controlPeriodMs),
    trajectorySha256: environment.trajectoryHash(),
  };
}

/** The model in the test double's own form, through the double as if it were the NPU's library. */
async function doubleStage(
  options: ParityOptions,
  librknnrt: string,
): Promise<Outcome<ParityResult>> {
  const { model } = await readModel(options.a);
  writeFileAtomic(options.b, doubleOfOnnx(model));
  const npu = { librknnrt, libraryEnv: { LITE3RL_DOUBLE: "1" } };
  const outcome = await parityStage({ ...options, npu }, MAE_GATE);
  const { evidence } = outcome.value.sides[1];
  const isDouble = evidence === "double";
  return {
    ...outcome,
    ok: outcome.ok && isDouble,
    detail: `evidence ${evidence}${isDouble ? "" : ", need double"}: ${outcome.detail}`,
  };
}

async function parityStage(options: ParityOptions, gate: number): Promise<Outcome<ParityResult>> {
  const value = await compareSides(options);
  const { mae, max, samples } = value.comparison;
  const detail =
    gate === 0 && max === 0
      ? `${samples} actions equal to the file's, bit for bit`
      : `MAE ${figure(mae)} (at most ${figure(gate)}), max ${figure(max)}, ${samples} observations`;
  return { value, ok: mae <= gate, detail };
}
