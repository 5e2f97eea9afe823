/**
 * The service that the gait is run through: one of our own, whose log is kept from its start to its
 * end, or one that is given, which is asked what it is.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { readFile, sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import type { Measured } from "../report/accept_document.ts";
import { openRemote } from "../runtime/remote.ts";
import { startService } from "../service/service_process.ts";
import { parseEndpoint } from "../wire/endpoint.ts";
import type { About } from "../wire/protocol.ts";

export interface ServiceOptions {
  readonly model: string;
  readonly obsStats?: string | undefined;
  readonly librknnrt?: string | undefined;
  readonly core: string;
  readonly io: string;
  readonly timeoutMs: number;
  readonly observationSize: number;
  readonly actionSize: number;
}

export interface RunningService {
  readonly endpoint: string;
  readonly about: About | undefined;
  /** Ends it, where it is ours. */
  finish(): Promise<{ readonly found: Measured["service"]; readonly log: string }>;
  /** The same without asking how it went. */
  abandon(): Promise<void>;
}

/** Starts `serve` with the model. Throws where it does not become ready. */
export async function startOwn(options: ServiceOptions, socket: string): Promise<RunningService> {
  const { model, obsStats, librknnrt, core, io } = options;
  const usual = ["--model", model, "--socket", socket, "--log", "json", "--core", core, "--io", io];
  const flags = [
    ...usual,
    ...(obsStats === undefined ? [] : ["--obs-stats", obsStats]),
    ...(librknnrt === undefined ? [] : ["--librknnrt", librknnrt]),
  ];
  const endpoint = `unix:${socket}`;
  const service = await startService(flags);
  let about: About | undefined;
  try {
    about = ask(endpoint, options);
  } catch (error) {
    await service.stop().catch(() => undefined);
    throw error;
  }
  return {
    endpoint,
    about,
    async finish() {
      const log = `${await service.stop()}${service.ready}\n`;
      const lines = log.trimEnd().split("\n").length;
      return { found: describe("started", endpoint, service.ready, about, lines), log };
    },
    async abandon() {
      await service.stop().catch(() => undefined);
    },
  };
}

/** Asks a service that runs already. Throws where it is not the model's. */
export function askGiven(options: ServiceOptions, endpoint: string): RunningService {
  const about = ask(endpoint, options);
  const own = sha256(readFile(options.model, LIMITS.modelBytes));
  if (about !== undefined && about.model.sha256 !== own) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot accept ${quote(options.model)} by the service at ${endpoint}: it has ` +
        `${quote(about.model.file)} of other bytes (${about.model.sha256.slice(0, 12)}…), need ` +
        `${own.slice(0, 12)}…; name its model with --model`,
    );
  }
  const said = about === undefined ? "raw bytes only, it does not say what it is" : "answers";
  const log = `${JSON.stringify({ endpoint, said, about: about ?? null })}\n`;
  return {
    endpoint,
    about,
    finish: () => Promise.resolve({ found: describe("given", endpoint, said, about, 1), log }),
    abandon: () => Promise.resolve(),
  };
}

function ask(endpoint: string, options: ServiceOptions): About | undefined {
  const { observationSize, actionSize, timeoutMs } = options;
  using remote = openRemote(parseEndpoint(endpoint), { observationSize, actionSize, timeoutMs });
  return remote.about;
}

function describe(
  how: "started" | "given",
  endpoint: string,
  ready: string,
  about: About | undefined,
  logLines: number,
): Measured["service"] {
  return { state: "measured", how, endpoint, ready, about: about ?? null, logLines };
}
