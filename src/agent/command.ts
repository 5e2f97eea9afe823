/**
 * `lite3rl agent`: a policy, or a running service, in a closed loop with an environment.
 */

import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { notice } from "../base/log.ts";
import { type Stop, stopOnSignals } from "../base/stop.ts";
import {
  defineCommand,
  durationValue,
  integerValue,
  numberValue,
  pathValue,
  switchValue,
  textValue,
  vectorValue,
  wordValue,
} from "../cli/command.ts";
import { POLICY_FLAGS } from "../cli/npu_flags.ts";
import { progress } from "../cli/output.ts";
import { ENVIRONMENT_HELP, PROGRAM_FLAGS, programOptions } from "../cli/program_flags.ts";
import type { Environment } from "../environment/environment.ts";
import { isBuiltIn, openEnvironment } from "../environment/open.ts";
import { openPolicy, type PolicyOptions } from "../runtime/open.ts";
import { createPolicy, type Policy } from "../runtime/policy.ts";
import { openRemote } from "../runtime/remote.ts";
import { parseEndpoint } from "../wire/endpoint.ts";
import type { RunLog } from "../run_log/write_run_log.ts";
import type { Episode, EpisodeOptions } from "../closed_loop/episode.ts";
import { runRecorded, startRunLog } from "./run_recorder.ts";
import {
  createStability,
  renderVerdict,
  type Stability,
  type Verdict,
  verdictFailure,
} from "./stability.ts";
import { renderSummary, summarise } from "./summary.ts";

/** The blueprint's number of steps. */
const DEFAULT_STEPS = 512;
const DEFAULT_COMMAND = [0.5, 0, 0] as const;
/** Every step is kept for the summary: 55 hours at 50 Hz. */
const STEPS_MAX = 10_000_000;

export default defineCommand({
  name: "agent",
  positionals: "",
  summary: "Run a policy, or a service, in a closed loop with an environment",
  example:
    "agent --model build/policy.onnx --obs-stats inputs/obs_stats.npz --env lite3 --steps 512",
  flags: {
    model: {
      value: "<file>",
      help: "The policy, an .onnx or .rknn file",
      schema: v.optional(pathValue()),
    },
    obsStats: {
      value: "<npz>",
      help: "mean and std of the observations",
      schema: v.optional(pathValue()),
    },
    connect: {
      value: "<endpoint>",
      help: "Ask a service instead: unix:PATH or tcp:HOST:PORT",
      schema: v.optional(textValue("unix:PATH or tcp:HOST:PORT")),
    },
    env: {
      value: "<env>",
      help: ENVIRONMENT_HELP,
      schema: v.optional(textValue("an environment"), "lite3"),
    },
    steps: {
      value: "<n>",
      help: `Control steps (default: ${DEFAULT_STEPS})`,
      schema: v.optional(integerValue(1, STEPS_MAX)),
    },
    duration: {
      value: "<time>",
      help: "Policy time instead of --steps: 10s, 10m",
      schema: v.optional(durationValue()),
    },
    command: {
      value: "<vx,vy,wz>",
      help: "Commanded velocity in m/s, m/s, rad/s (default: 0.5,0,0)",
      schema: v.optional(vectorValue()),
    },
    start: {
      value: "<how>",
      help: "standing, or lying: stands up first (default: standing)",
      schema: v.optional(wordValue(["standing", "lying"])),
    },
    rate: {
      value: "<hz>",
      help: "Control rate (default: 50)",
      schema: v.optional(numberValue(10, 1000, "a rate in Hz")),
    },
    seed: {
      value: "<n>",
      help: "Seed of the episode (default: 0)",
      schema: v.optional(integerValue(0, 2 ** 31 - 1), 0),
    },
    fast: { help: "Do not wait for real time", schema: switchValue() },
    log: {
      value: "<file>",
      help: "Record the run as MCAP: state, actions, sensors, latency (a new file)",
      isVerbsOwn: true,
      schema: v.optional(pathValue()),
    },
    verdict: {
      help: "Change commands, and judge the gait by its limits: exit status 0 or 1",
      schema: switchValue(),
    },
    limits: {
      value: "<yaml>",
      help: "Limits for --verdict that differ from the usual",
      schema: v.optional(pathValue()),
    },
    ...PROGRAM_FLAGS,
    timeout: {
      value: "<time>",
      help: "Longest wait for one answer of a service (default: 2s)",
      schema: v.optional(durationValue(), "2s"),
    },
    ...POLICY_FLAGS,
  },
  rivals: [
    ["model", "connect"],
    ["obsStats", "connect"],
    ["steps", "duration"],
  ],
  async run(_positionals, flags) {
    checkSource(flags.model, flags.connect, flags.obsStats);
    checkRun(flags);
    const { start, rate: rateHz, seed } = flags;
    const watch: { stop?: Stop } = {};
    const isInterrupted = (): boolean => watch.stop?.requested === true;
    const program = { ...programOptions(flags), isInterrupted };
    const given = { start, rateHz, seed, program };
    const asked = flags.command ?? (isBuiltIn(flags.env) ? DEFAULT_COMMAND : undefined);
    using environment = await openEnvironment(flags.env, { ...given, command: asked });
    const stability = flags.verdict ? createStability(environment, flags) : undefined;
    using policy = await openSource(flags, environment);
    const { controlPeriodMs } = environment;
    const steps = countSteps(flags, controlPeriodMs);
    using stop = stopOnSignals();
    watch.stop = stop;
    const bar = progress("agent", steps);
    const source = { ...flags, realTime: !flags.fast };
    const log =
      flags.log === undefined
        ? undefined
        : await startRunLog(flags.log, source, environment, policy);
    const episode = await runRecorded(
      {
        environment,
        policy,
        steps,
        seed,
        stop,
        command: asked,
        realTime: !flags.fast,
        onStep: (done) => bar.update(done),
        ...(stability?.commandAt && { commandAt: stability.commandAt }),
        ...observeBy(stability, log),
      },
      log,
    ).finally(() => bar.finish());
    if (episode.interrupted) notice(`interrupted after ${episode.trace.length} of ${steps} steps`);
    const verdict = stability?.judge(episode);
    const summary = summarise(
      episode,
      stability?.commandAt ? undefined : (asked ?? DEFAULT_COMMAND),
      controlPeriodMs,
    );
    const { name, arithmetic } = policy.backend;
    return {
      json: {
        ...summary,
        requestedSteps: steps,
        realTime: !flags.fast,
        environment: flags.env,
        ...(isBuiltIn(flags.env) ? { start: start ?? "standing" } : {}),
        seed,
        backend: name,
        evidence: arithmetic,
        ...(verdict && { verdict }),
        ...(log ? { log: { path: log.path, complete: log.broken === undefined } } : {}),
        ...(environment.trajectoryHash && { trajectorySha256: environment.trajectoryHash() }),
      },
      text: [
        renderSummary(summary, `${name}, ${arithmetic}`),
        ...(verdict ? ["", renderVerdict(verdict)] : []),
      ].join("\n"),
      ...failure(episode, verdict),
    };
  },
});

interface Length {
  readonly steps?: number | undefined;
  readonly duration?: number | undefined;
}

function checkRun(flags: Length & { limits?: string | undefined; verdict: boolean }): void {
  if (flags.steps !== undefined && flags.duration !== undefined) {
    throw new Lite3Error("USAGE", "--steps and --duration say the same thing: give one of them");
  }
  if (flags.limits !== undefined && !flags.verdict) {
    throw new Lite3Error("USAGE", "--limits is for --verdict: give both");
  }
}

function countSteps({ steps, duration }: Length, controlPeriodMs: number): number {
  if (duration === undefined) return steps ?? DEFAULT_STEPS;
  const count = Math.max(1, Math.round((duration * 1000) / controlPeriodMs));
  if (count <= STEPS_MAX) return count;
  throw new Lite3Error("USAGE", `--duration is ${count} steps, at most ${STEPS_MAX} are run`);
}

/** Sensors are read only where somebody wants to know. */
function observeBy(
  stability: Stability | undefined,
  log: RunLog | undefined,
): Pick<EpisodeOptions, "observe"> {
  if (stability === undefined && log === undefined) return {};
  return {
    async observe(step) {
      stability?.gait.add(step);
      await log?.step(step);
    },
  };
}

function failure(
  { fall, interrupted }: Episode,
  verdict: Verdict | undefined,
): { failure?: string } {
  if (fall !== undefined) return { failure: `the robot fell: ${fall}` };
  if (interrupted) return { failure: "interrupted before the end" };
  const broken = verdict && verdictFailure(verdict);
  return broken === undefined ? {} : { failure: broken };
}

function checkSource(
  model: string | undefined,
  connect: string | undefined,
  obsStats: string | undefined,
): void {
  if (model !== undefined && connect !== undefined) {
    throw new Lite3Error(
      "USAGE",
      `Cannot use --model ${quote(model)} and --connect ${quote(connect)} together: ` +
        "the service has its own model, give one of them",
    );
  }
  if (model === undefined && connect === undefined) {
    throw new Lite3Error(
      "USAGE",
      "agent needs a policy: either --model policy.onnx or --connect unix:/tmp/lite3_policy.sock",
    );
  }
  if (connect !== undefined && obsStats !== undefined) {
    throw new Lite3Error(
      "USAGE",
      `Cannot use --obs-stats ${quote(obsStats)} with --connect: the service normalises by itself`,
    );
  }
}

interface Source extends PolicyOptions {
  readonly model: string | undefined;
  readonly connect: string | undefined;
  readonly obsStats: string | undefined;
  readonly timeout: number;
}

async function openSource(source: Source, environment: Environment): Promise<Policy> {
  if (source.model !== undefined) return openPolicy(source.model, source.obsStats, source);
  const { observationSize, actionSize } = environment;
  const timeoutMs = source.timeout * 1000;
  const address = parseEndpoint(source.connect ?? "");
  return createPolicy(openRemote(address, { observationSize, actionSize, timeoutMs }));
}
