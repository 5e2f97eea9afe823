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
  /** Of those answered, by the fallback. */
  readonly fallback: number;
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
  readonly residentMb?: {
    readonly min: number;
    readonly max: number;
    readonly last: number;
    /** The highest of the second half above that of the first: after a collection it is lower. */
    readonly grown: number;
  };
  /** Times that another engine took over the clients. */
  readonly swaps: number;
  /** The service's own end. */
  readonly status: number;
}

const ROWS = 4096;
const CONNECTIONS_PER_KIND = 3;

/** A sound policy on the CPU: every request is answered, and rightly. */
export async function soakSound(options: SoakOptions): Promise<SoakSummary> {
  const flags = await prepareSound(options);
  return soak(options, { mode: "clean", flags, exchange: soundExchange(options) });
}

/** The same with a spare engine, whose model is opened anew again and again: no client notices. */
export async function soakReloads(options: SoakOptions, everyMs = 1000): Promise<SoakSummary> {
  const flags = [...(await prepareSound(options)), "--spare"];
  const exchange = soundExchange(options);
  return soak(options, { mode: "clean", flags, exchange, reloadEveryMs: everyMs });
}

const soundExchange = ({ directory }: SoakOptions): string => join(directory, "sound.exchange");

/** Exports the policy and writes down what it answers; the flags that serve it. */
async function prepareSound({ directory, program }: SoakOptions): Promise<string[]> {
  const model = join(directory, "soak.onnx");
  const { checkpoint, config, obsStats } = DEMO_POLICY;
  const words = [checkpoint, "--config", config, "--output", model, "--no-check"];
  const exported = run([...program, "export", ...words]);
  if (exported.status !== 0) throw new Error(exported.stderr);
  using policy = await openPolicy(model, obsStats, { backend: "auto" });
  writeExchange(join(directory, "sound.exchange"), await answersOf(policy, ROWS));
  return ["--model", model, "--obs-stats", obsStats];
}

/**
 * A model in the double of the NPU's library that fails in every 50th run, gives NaN in every
 * 997th, hangs once and crashes once; and one observation in 1,000 is not finite. Whatever is
 * answered is right.
 */
export async function soakFaults(options: SoakOptions): Promise<SoakSummary> {
  const { flags, env, exchange } = await prepareFaults(options);
  return soak(options, { mode: "faults", flags, env, exchange });
}

/** The same with a fallback on the CPU: all that is finite is answered, and marked as it must be. */
export async function soakFallback(options: SoakOptions): Promise<SoakSummary> {
  const [, sound = ""] = await prepareSound(options);
  const { flags, env, exchange } = await prepareFaults(options);
  const fallback = ["--fallback", "mlp", "--fallback-model", sound];
  const mode = `fallback:${soundExchange(options)}` as const;
  return soak(options, { mode, flags: [...flags, ...fallback], env, exchange });
}

async function prepareFaults(options: SoakOptions): Promise<Omit<SoakRun, "mode">> {
  const { directory, requests } = options;
  const exchange = join(directory, "faults.exchange");
  const model = join(directory, "soak.rknn");
  writeFileSync(model, doubleOf(await demoNetwork()));
  const once = join(directory, "once");
  mkdirSync(once);
  const library = doubleLibrary();
  {
    const normalizer = createNormalizer(await readObservationStats(DEMO_POLICY.obsStats));
    const backend = await openIsolated(readFileSync(model), doubleOptions());
    using policy = createPolicy(backend, normalizer);
    writeExchange(exchange, await answersOf(policy, ROWS));
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
  return { flags: [...flags, "--io", "float"], env, exchange };
}

/** One service and what its clients expect of it. */
interface SoakRun {
  readonly mode: "clean" | "faults" | `fallback:${string}`;
  readonly flags: readonly string[];
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly exchange: string;
  readonly reloadEveryMs?: number;
}

/** Starts the service, drives it, ends it. */
async function soak(
  options: SoakOptions,
  { mode, flags, env = {}, exchange, reloadEveryMs }: SoakRun,
): Promise<SoakSummary> {
  const { program, cc, directory, requests, seed = 1, onProgress } = options;
  const driver = buildPeer("soak", cc, directory);
  const socket = join(directory, "soak.sock");
  await using service = await startService(
    [...program, "serve", ...flags, "--socket", socket, "--tcp", "127.0.0.1:0"],
    env,
  );
  const kinds = (options.protocols ?? ["raw", "framed"]).flatMap((protocol) =>
    service.endpoints.map((endpoint) => `${protocol}:${endpoint}`),
  );
  const connections = kinds.flatMap((kind) => Array<string>(CONNECTIONS_PER_KIND).fill(kind));
  const words = [exchange, requests, seed, mode, ...connections].map(String);
  const child = Bun.spawn([driver, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  const reload = (): void => void process.kill(service.pid, "SIGUSR1");
  const reloading = reloadEveryMs === undefined ? undefined : setInterval(reload, reloadEveryMs);
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
  clearInterval(reloading);
  if (last.requests === undefined) throw new Error(`soak: the driver ended with ${driverStatus}`);
  const { status, swaps } = await service.stop();
  const resident = memory.length < 2 ? {} : { residentMb: describeMemory(memory) };
  return { ...(last as unknown as SoakSummary), ...resident, swaps, status } as SoakSummary;
}

function describeMemory(megabytes: readonly number[]): SoakSummary["residentMb"] {
  const half = megabytes.length >> 1;
  const [before, after] = [megabytes.slice(0, half), megabytes.slice(half)].map((part) =>
    Math.max(...part),
  ) as [number, number];
  return {
    min: Math.min(...megabytes),
    max: Math.max(before, after),
    last: megabytes.at(-1) as number,
    grown: after - before,
  };
}

interface Service extends AsyncDisposable {
  readonly pid: number;
  /** `unix:PATH` and `tcp:HOST:PORT`. */
  readonly endpoints: readonly string[];
  /** Asks it to end; its exit status, and how often it said that an engine took over. */
  stop(): Promise<Pick<SoakSummary, "status" | "swaps">>;
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
  const stop: Service["stop"] = async () => {
    child.kill("SIGTERM");
    const status = await child.exited;
    return { status, swaps: [...(await said).matchAll(/ serves, \d+ connections? moved/g)].length };
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
