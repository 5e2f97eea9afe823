/**
 * One episode of a policy in an environment, in real time or as fast as it goes.
 *
 * In real time the loop keeps absolute deadlines, one per control period: it sleeps, then spins,
 * and when an action comes after its period is over it counts an overrun and goes on with the next
 * deadline that is still ahead. It never bursts to catch up.
 */

import { monotonicUs, waitUntilUs } from "../../ffi/clock.ts";
import { turnEventLoop } from "../base/event_loop.ts";
import { Lite3Error } from "../base/errors.ts";
import type { Environment, StepInfo } from "../environment/environment.ts";
import type { RunStep, Velocity } from "../run_log/run_step.ts";
import type { Policy } from "../runtime/policy.ts";

/** Inferences before the first step, so that it does not meet cold code. */
const WARM_UP = 16;
/** Without pauses, a turn for signal handlers every so many steps. */
const STEPS_PER_TURN = 50;

export interface EpisodeOptions {
  readonly environment: Environment;
  readonly policy: Policy;
  readonly steps: number;
  readonly seed: number;
  readonly realTime: boolean;
  /** Set by a signal: the episode ends after the current step. */
  readonly stop?: { readonly requested: boolean };
  readonly onStep?: (done: number) => void;
  /** Velocity to command from this step on, or undefined for no change. */
  readonly commandAt?: (step: number) => Velocity | undefined;
  /** Change of the robot's velocity before this step, for environments that can push. */
  readonly pushAt?: (step: number) => readonly [number, number] | undefined;
  /** Velocity that is commanded until `commandAt` says another; for `observe`. */
  readonly command?: Velocity | undefined;
  /** Is given every step; the environment's sensors are read only for it. */
  readonly observe?: (step: RunStep) => Promise<void>;
}

export interface Episode {
  /** State after each step. */
  readonly trace: readonly StepInfo[];
  /** Time of each inference, normalizer and socket included. */
  readonly latencyUs: readonly number[];
  /** Null where no period was kept. */
  readonly overruns: number | null;
  /** Sum of the rewards. */
  readonly totalReward: number;
  /** Ends by the environment that were no fall; each began another episode. */
  readonly restarts: number;
  /** Why the robot fell, if it did. */
  readonly fall: string | undefined;
  readonly interrupted: boolean;
}

/**
 * Runs until `steps` are done, the robot falls, or a signal asks to stop. Where an environment ends
 * an episode otherwise (a time limit, a goal), the next one begins, with the next seed.
 */
export async function runEpisode(options: EpisodeOptions): Promise<Episode> {
  const { environment, policy, steps, observe } = options;
  checkSizes(environment, policy);
  let { command } = options;
  let state = policy.backend.createState();
  const action = new Float32Array(policy.actionSize);
  const seen = new Float32Array(policy.observationSize);
  let observation = await environment.reset(options.seed);
  await warmUp(policy, observation);
  Bun.gc(true);

  const trace: StepInfo[] = [];
  const latencyUs: number[] = [];
  let fall: string | undefined;
  let totalReward = 0;
  let restarts = 0;
  const pace = startPace(environment.controlPeriodMs, options.realTime);
  while (trace.length < steps && fall === undefined && !options.stop?.requested) {
    const asked = options.commandAt?.(trace.length);
    if (asked !== undefined) await environment.setCommand?.(asked);
    command = asked ?? command;
    const push = options.pushAt?.(trace.length);
    if (push !== undefined) environment.push?.(push);
    seen.set(observation);
    const started = Bun.nanoseconds();
    await policy.act(observation, action, state);
    const tookUs = (Bun.nanoseconds() - started) / 1000;
    latencyUs.push(tookUs);
    const result = await environment.step(action);
    const { info } = result;
    observation = result.observation;
    trace.push(info);
    totalReward += result.reward;
    if (result.terminated) fall = info.ending;
    const overrun = pace.isOver();
    if (observe !== undefined) {
      const timeS = (trace.length * environment.controlPeriodMs) / 1000;
      const sensors = environment.sensors?.();
      const moment = {
        timeS,
        episode: restarts,
        command,
        observation: seen,
        action,
        info,
        sensors,
        overrun,
      };
      await observe({ ...moment, latencyUs: tookUs });
    }
    options.onStep?.(trace.length);
    const isOver = result.terminated || result.truncated;
    if (isOver && fall === undefined && trace.length < steps) {
      restarts++;
      observation = await environment.reset(options.seed + restarts);
      state[Symbol.dispose]?.();
      state = policy.backend.createState();
    }
    await pace.wait(trace.length);
  }
  state[Symbol.dispose]?.();
  const interrupted = options.stop?.requested === true;
  const { overruns } = pace;
  return { trace, latencyUs, overruns, totalReward, restarts, fall, interrupted };
}

/** With a state of its own, which is forgotten. A service is warm, and counts what it is asked. */
async function warmUp(policy: Policy, observation: Float32Array): Promise<void> {
  if (policy.backend.name === "remote") return;
  const state = policy.backend.createState();
  const action = new Float32Array(policy.actionSize);
  for (let i = 0; i < WARM_UP; i++) await policy.act(observation, action, state);
  state[Symbol.dispose]?.();
}

/** Absolute deadlines, one per period, where the episode is in real time. */
function startPace(periodMs: number, realTime: boolean) {
  const periodUs = periodMs * 1000;
  let deadlineUs = monotonicUs() + periodUs;
  return {
    overruns: realTime ? 0 : null,
    /** Once a step, when it is done: was that after its deadline? Null without deadlines. */
    isOver(): boolean | null {
      if (this.overruns === null) return null;
      const nowUs = monotonicUs();
      if (nowUs <= deadlineUs) return false;
      this.overruns++;
      deadlineUs += Math.ceil((nowUs - deadlineUs) / periodUs) * periodUs;
      return true;
    },
    /** Until the deadline; `steps` are done. */
    async wait(steps: number): Promise<void> {
      if (!realTime) {
        if (steps % STEPS_PER_TURN === 0) await turnEventLoop();
        return;
      }
      await turnEventLoop();
      waitUntilUs(deadlineUs);
      deadlineUs += periodUs;
    },
  };
}

function checkSizes(environment: Environment, policy: Policy): void {
  const { observationSize, actionSize } = environment;
  if (policy.observationSize === observationSize && policy.actionSize === actionSize) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot run this policy in ${environment.name}: it takes ${policy.observationSize} numbers ` +
      `and gives ${policy.actionSize}, the environment gives ${observationSize} and takes ` +
      `${actionSize}; choose another --model or --env`,
  );
}
