/**
 * The log that `agent --log` writes, from the run's beginning to its end.
 */

import { monotonicUs } from "../../ffi/clock.ts";
import { readFile, sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import type { Environment } from "../environment/environment.ts";
import type { Policy } from "../runtime/policy.ts";
import { openRunLog, type RunLog } from "../run_log/write_run_log.ts";
import { type Episode, type EpisodeOptions, runEpisode } from "../closed_loop/episode.ts";

export interface RunSource {
  readonly env: string;
  readonly seed: number;
  readonly model: string | undefined;
  readonly connect: string | undefined;
  readonly realTime: boolean;
}

/** Begins the log of a run, or throws before anything has run. */
export async function startRunLog(
  path: string,
  source: RunSource,
  environment: Environment,
  policy: Policy,
): Promise<RunLog> {
  const { controlPeriodMs, observationTerms, massKg } = environment;
  const { model, connect, env, seed, realTime } = source;
  const now = new Date();
  const log = await openRunLog(
    path,
    {
      started: now.toISOString(),
      environment: env,
      seed: String(seed),
      realTime: String(realTime),
      controlPeriodMs: String(controlPeriodMs),
      observationTerms: JSON.stringify(observationTerms.map(({ name, size }) => [name, size])),
      ...(massKg === undefined ? {} : { massKg: String(massKg) }),
      ...(model === undefined ? {} : { model, sha256: sha256(readFile(model, LIMITS.modelBytes)) }),
      ...(connect === undefined ? {} : { service: connect }),
      backend: policy.backend.name,
      evidence: policy.backend.arithmetic,
      monotonicUs: String(monotonicUs()),
    },
    BigInt(now.getTime()) * 1_000_000n,
  );
  await log.event("info", "started", `${model ?? connect} in ${env}`);
  return log;
}

/** Runs an episode whose end is written to the log in any case. */
export async function runRecorded(
  options: EpisodeOptions,
  log: RunLog | undefined,
): Promise<Episode> {
  let episode: Episode | undefined;
  try {
    episode = await runEpisode(options);
    return episode;
  } finally {
    if (log !== undefined) await endRunLog(log, episode);
  }
}

/** How the run came to its end. */
async function endRunLog(log: RunLog, episode: Episode | undefined): Promise<void> {
  if (episode?.fall !== undefined) await log.event("error", "fall", episode.fall);
  const why =
    episode === undefined ? "failed" : episode.interrupted ? "interrupted" : "ended as asked";
  await log.event(episode === undefined ? "error" : "info", "ended", why);
  await log.end();
}
