/**
 * Long runs of the service: `service_peers/soak.c` asks it over many connections of every kind and
 * compares each number of each answer with what the policy gives in this process.
 */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DEMO_POLICY, demoNetwork } from "../../src/policy/policy_fixture.ts";
import { createNormalizer, readObservationStats } from "../../src/policy/normalizer.ts";
import { openIsolated } from "../../src/runtime/isolated.ts";
import { openPolicy } from "../../src/runtime/open.ts";
import { createPolicy } from "../../src/runtime/policy.ts";
import { doubleLibrary, doubleOf, doubleOptions } from "../../src/runtime/rknn_double_fixture.ts";
import { readLines } from "./lines.ts";
import { residentMb } from "./process_use.ts";
import { run } from "./project.ts";
import { answersOf, buildPeer, writeExchange } from "./service_peers.ts";

export interface SoakOptions {
  /** The program as it is started, such as the built binary. */
  readonly program: readonly string[];
  readonly cc: string;
  /** Where files of the run may be left. */
  readonly directory: string;
  readonly requests: number;
  readonly seed?: number;
  /** Protocols to speak; both if absent. */
  readonly protocols?: readonly ("raw" | "framed")[];
  readonly onProgress?: ((settled: number) => void) | undefined;
}

/** What the driver counted, and what the service's processes took. */
export interface SoakSummary {
  readonly requests: number;
  readonly answered: number;
  readonly rows: number;
  /** Answers that were not what they must be: of any kind, each is a defect. */
  readonly wrong: number;
  /** Requests whose connection ended before their answer. */
  readonly lost: number;
  /** Connections that the service ended, and that the driver left in the middle. */
  readonly closed: number;
  readonly abandoned: number;
  readonly badInput: number;
  readonly deadlineMissed: number;
  readonly busy: number;
  readonly failed: number;
  readonly longestGapMs: number;
  readonly seconds: number;
  /** Supervisor and engine together, after the first tenth of the run; absent in a short one. */
  readonly residentMb?: { readonly min: number; readonly max: number; readonly last: number };
  /** The service's own end, and its last words. */
  readonly status: number;
}

const ROWS = 4096;
const CONNECTIONS_PER_KIND = 3;

/** A sound policy on the CPU: every request is answered, and rightly. */
export async function soakSound(options: SoakOptions): Promise<SoakSummary> {
  const { directory, program } = options;
  const model = join(directory, "soak.onnx");
  const { checkpoint, config, obsStats } = DEMO_POLICY;
  const words = [checkpoint, "--config", config, "--output", model, "--no-check"];
  const exported = run([...program, "export", ...words]);
  if (exported.status !== 0) throw new Error(exported.stderr);
  using policy = await openPolicy(model, obsStats, { backend: "auto" });
  writeExchange(join(directory, "sound.exchange"), await answersOf(policy, ROWS));
  return soak(options, "sound", ["--model", model, "--obs-stats", obsStats], {});
}

/**
 * A model in the double of the NPU's library that fails in every 50th run, gives NaN in every
 * 997th, hangs once and crashes once; and one observation in 1,000 is not finite. Whatever is
 * answered is right.
 */
export async function soakFaults(options: SoakOptions): Promise<SoakSummary> {
  const { directory, requests } = options;
  const model = join(directory, "soak.rknn");
  writeFileSync(model, doubleOf(await demoNetwork()));
  const once = join(directory, "once");
  mkdirSync(once);
  const library = doubleLibrary();
  {
    const normalizer = createNormalizer(await readObservationStats(DEMO_POLICY.obsStats));
    const backend = await openIsolated(readFileSync(model), doubleOptions());
    using policy = createPolicy(backend, normalizer);
    writeExchange(join(directory, "faults.exchange"), await answersOf(policy, ROWS));
  }
  const { env } = doubleOptions({
    FAIL: "run:%50:-1",
    NAN_AT: "%997",
    // Counts are of one process: the next one after the crash comes to the hang. Neither is at a
    // multiple of 50, where the run fails before it comes to that.
    CRASH_AT: 50 * Math.floor(requests / 250) + 1,
    HANG_AT: 50 * Math.floor(requests / 150) + 1,
    ONCE: once,
  });
  const flags = ["--model", model, "--obs-stats", DEMO_POLICY.obsStats, "--librknnrt", library];
  return soak(options, "faults", [...flags, "--io", "float"], env ?? {});
}

/** Starts the service, drives it, ends it. */
async function soak(
  options: SoakOptions,
  name: "sound" | "faults",
  flags: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<SoakSummary> {
  const { program, cc, directory, requests, seed = 1, onProgress } = options;
  const driver = buildPeer("soak", cc, directory);
  const socket = join(directory, `${name}.sock`);
  await using service = await startService(
    [...program, "serve", ...flags, "--socket", socket, "--tcp", "127.0.0.1:0"],
    env,
  );
  const kinds = (options.protocols ?? ["raw", "framed"]).flatMap((protocol) =>
    service.endpoints.map((endpoint) => `${protocol}:${endpoint}`),
  );
  const connections = kinds.flatMap((kind) => Array<string>(CONNECTIONS_PER_KIND).fill(kind));
  const mode = name === "faults" ? "faults" : "clean";
  const exchange = join(directory, `${name}.exchange`);
  const words = [exchange, requests, seed, mode, ...connections].map(String);
  const child = Bun.spawn([driver, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  const memory: number[] = [];
  let last: Record<string, unknown> = {};
  for await (const line of readLines(child.stdout)) {
    last = JSON.parse(line) as Record<string, unknown>;
    const { settled } = last;
    if (typeof settled !== "number") continue;
    onProgress?.(settled);
    if (settled > requests / 10) memory.push(residentMb(service.pid));
  }
  const driverStatus = await child.exited;
  if (last.requests === undefined) throw new Error(`soak: the driver ended with ${driverStatus}`);
  const status = await service.stop();
  const sorted = memory.toSorted((a, b) => a - b);
  const [min, max] = [sorted[0], sorted.at(-1)];
  const resident = min === undefined ? {} : { residentMb: { min, max, last: memory.at(-1) } };
  return { ...(last as unknown as SoakSummary), ...resident, status } as SoakSummary;
}

interface Service extends AsyncDisposable {
  readonly pid: number;
  /** `unix:PATH` and `tcp:HOST:PORT`. */
  readonly endpoints: readonly string[];
  /** Asks it to end; its exit status. */
  stop(): Promise<number>;
}

async function startService(
  command: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Promise<Service> {
  const child = Bun.spawn([...command], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // Its notices of the faults are many; they are read, so that it is never held up by them.
  const said = new Response(child.stderr).text();
  const stop = async (): Promise<number> => {
    child.kill("SIGTERM");
    return child.exited;
  };
  const { value } = await readLines(child.stdout).next();
  const endpoints = value?.match(/\b(?:unix|tcp):[^ ]+/g) ?? [];
  if (endpoints.length !== 2) {
    await stop();
    throw new Error(`soak: the service is not ready: ${value ?? (await said)}`);
  }
  const dispose = async (): Promise<void> => void (await stop());
  return { pid: child.pid, endpoints, stop, [Symbol.asyncDispose]: dispose };
}
