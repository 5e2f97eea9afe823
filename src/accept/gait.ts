/**
 * The run in which the gait is judged: the policy behind the service, in real time, under changing
 * commands, as `agent --duration … --log … --verdict`. Its figures are read out of its log, so that
 * whoever has the log finds the same.
 */

import { existsSync } from "node:fs";
import { runRecorded, startRunLog } from "../agent/run_recorder.ts";
import { createStability } from "../agent/stability.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { Lite3Error } from "../base/errors.ts";
import { progress } from "../cli/output.ts";
import { isBuiltIn, openEnvironment } from "../environment/open.ts";
import type { ProgramOptions } from "../environment/program.ts";
import type { Measured } from "../report/accept_document.ts";
import { createPolicy } from "../runtime/policy.ts";
import { openRemote } from "../runtime/remote.ts";
import { parseEndpoint } from "../wire/endpoint.ts";
import { gaitOfLog } from "./gait_log.ts";

/** Of the built-in environment until the first command of the run. */
const FIRST_COMMAND = [0.5, 0, 0] as const;

export interface GaitRun {
  readonly endpoint: string;
  readonly model: string;
  readonly env: string;
  readonly program: ProgramOptions;
  readonly seed: number;
  readonly durationS: number;
  readonly timeoutMs: number;
  /** Where the log of the run is written: a new file. */
  readonly logPath: string;
  readonly stop: { readonly requested: boolean };
}

/** Runs until the time is over, the robot falls, or a signal comes. */
export async function measureGait(run: GaitRun): Promise<Measured["gait"]> {
  try {
    return await walk(run);
  } catch (error) {
    // Ctrl-C ends the service too, and its missing answer may be noticed before the signal.
    await turnEventLoop();
    if (!(error instanceof Lite3Error) || run.stop.requested) throw error;
    const hasRun = existsSync(run.logPath);
    return { state: hasRun ? "failed" : "missing", why: error.message };
  }
}

async function walk(run: GaitRun): Promise<Measured["gait"]> {
  const { env, seed, program, endpoint, model, stop } = run;
  const command = isBuiltIn(env) ? FIRST_COMMAND : undefined;
  using environment = await openEnvironment(env, { seed, program, command });
  const { observationSize, actionSize, controlPeriodMs } = environment;
  const sizes = { observationSize, actionSize, timeoutMs: run.timeoutMs };
  using policy = createPolicy(openRemote(parseEndpoint(endpoint), sizes));
  const { commandAt } = createStability(environment, { fast: false });
  const steps = Math.max(1, Math.round((run.durationS * 1000) / controlPeriodMs));
  const source = { env, seed, model, connect: endpoint, realTime: true };
  const log = await startRunLog(run.logPath, source, environment, policy);
  const bar = progress("gait", steps);
  await runRecorded(
    {
      environment,
      policy,
      steps,
      seed,
      stop,
      command,
      realTime: true,
      onStep: (done) => bar.update(done),
      observe: (step) => log.step(step),
      ...(commandAt && { commandAt }),
    },
    log,
  ).finally(() => bar.finish());
  if (log.broken !== undefined) {
    return { state: "missing", why: `the log of the run ends early: ${log.broken}` };
  }
  const { series, ...found } = gaitOfLog(run.logPath);
  return {
    state: "measured",
    environment: env,
    isSimulated: isBuiltIn(env),
    seed,
    requestedS: run.durationS,
    evidence: policy.backend.arithmetic,
    policy: endpoint,
    ...found,
    series,
  };
}
