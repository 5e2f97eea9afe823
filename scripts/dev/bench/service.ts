/**
 * The service against one in C with the same network and one in Python with numpy and ONNX
 * Runtime: the same client, in turns within one run, every answer compared.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { present } from "../../../src/base/assert.ts";
import { openPolicy } from "../../../src/runtime/open.ts";
import { DEMO_POLICY } from "../../../src/policy/policy_fixture.ts";
import { cpuMs, residentMb } from "../process_use.ts";
import { NATIVE_BINARY, run } from "../project.ts";
import {
  answersOf,
  buildPeer,
  PYTHON_SERVICE,
  writeExchange,
  writeNetwork,
} from "../service_peers.ts";
import { TOOLS } from "../tools.ts";
import { randomCheckpoint } from "./checkpoints.ts";
import { line } from "./measure.ts";

const ROUNDS = 7;
const ROWS = 256;

/** How each service is asked; `python` answers one client at a time. */
const LOADS = {
  hot: { connections: 1, requests: 10_000, hz: 0 },
  "1000 Hz": { connections: 1, requests: 1500, hz: 1000 },
  "16 clients": { connections: 16, requests: 20_000, hz: 0 },
} as const;
type Load = keyof typeof LOADS;
type Peer = "ours" | "c" | "python";

/** What the client measured, µs, and the service's time on the CPU for each request. */
interface Figures {
  readonly cpu: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** Largest ratios of ours to theirs, and least of throughput. */
const BUDGETS = [
  { load: "hot", peer: "c", figure: "p50", budget: 1 },
  { load: "1000 Hz", peer: "c", figure: "p50", budget: 1.1 },
  { load: "hot", peer: "python", figure: "p50", budget: 0.75 },
  { load: "1000 Hz", peer: "python", figure: "p50", budget: 0.5 },
  { load: "hot", peer: "c", figure: "p99", budget: 1.5 },
  { load: "1000 Hz", peer: "c", figure: "p99", budget: 1.5 },
  { load: "16 clients", peer: "c", figure: "perSecond", budget: 0.8 },
] as const;

export async function service(directory: string): Promise<void> {
  const cc = TOOLS.cc();
  const python = TOOLS.python();
  const missing = [cc, python].find((tool) => "missing" in tool);
  if (!("path" in cc) || !("path" in python)) {
    line({ name: "service", skipped: missing });
    return;
  }
  const exchange = await writeInputs(directory);
  const client = buildPeer("client", cc.path, directory);
  const socket = (peer: Peer): string => join(directory, `${peer}.sock`);
  const served = ["--model", "s.onnx", "--obs-stats", DEMO_POLICY.obsStats];
  const ours = [NATIVE_BINARY, "serve", ...served, "--socket", socket("ours")];
  const c = [buildPeer("server", cc.path, directory), "network.bin", socket("c")];
  const seed = [PYTHON_SERVICE, "s.onnx", DEMO_POLICY.obsStats, socket("python")];
  await readyTime(directory, ours);
  await using started = new AsyncDisposableStack();
  const pids = new Map<Peer, number>();
  for (const [peer, command] of Object.entries({ ours, c, python: [python.path, ...seed] })) {
    pids.set(peer as Peer, started.use(await startReady(command, directory)).pid);
  }
  const ask = (peer: Peer, load: Load): Figures => {
    const { connections, requests, hz } = LOADS[load];
    const words = [`unix:${socket(peer)}`, exchange, connections, requests, hz].map(String);
    const pid = present(pids.get(peer));
    const before = cpuMs(pid);
    const { status, stdout, stderr } = run([client, ...words], { cwd: directory });
    if (status !== 0) throw new Error(`${peer}, ${load}: ${stderr}`);
    const cpu = (1000 * (cpuMs(pid) - before)) / requests;
    return { ...(JSON.parse(stdout) as Omit<Figures, "cpu">), cpu };
  };
  const rounds = Array.from({ length: ROUNDS }, () => askAll(ask));
  compare(rounds);
  line({
    name: "serve, memory",
    unit: "MB",
    value: residentMb(present(pids.get("ours"))),
    budget: 140,
  });
}

/** One round: every service under every load, the services next to each other. */
type Round = ReadonlyMap<string, Figures>;

function askAll(ask: (peer: Peer, load: Load) => Figures): Round {
  const round = new Map<string, Figures>();
  for (const load of Object.keys(LOADS) as Load[]) {
    for (const peer of ["ours", "c", "python"] as const) {
      const isPossible = peer !== "python" || LOADS[load].connections === 1;
      if (isPossible) round.set(`${peer}, ${load}`, ask(peer, load));
    }
  }
  return round;
}

function compare(rounds: readonly Round[]): void {
  const sorted = (key: string, figure: keyof Figures): number[] =>
    rounds.map((round) => present(round.get(key), key)[figure]).sort((a, b) => a - b);
  const median = (values: readonly number[]): number => present(values[values.length >> 1]);
  for (const key of present(rounds[0]).keys()) {
    const [p50, p99, p999] = (["p50", "p99", "p999"] as const).map((f) => median(sorted(key, f)));
    const best = sorted(key, "p50")[0];
    const [cpu, perSecond] = (["cpu", "perSecond"] as const).map((f) => median(sorted(key, f)));
    const figures = { best, p50, p99, p999, cpu, perSecond };
    line({ name: `service, ${key}`, unit: "us", ...figures, runs: ROUNDS });
  }
  for (const { load, peer, figure, budget } of BUDGETS) {
    const [ours, theirs] = ["ours", peer].map((who) => `${who}, ${load}`) as [string, string];
    const isThroughput = figure === "perSecond";
    // The best rounds are those that other work disturbed least, but not both in the same one; the
    // median is of pairs that were measured one after the other.
    const bestOf = (key: string): number => present(sorted(key, figure).at(isThroughput ? -1 : 0));
    const best = bestOf(ours) / bestOf(theirs);
    const of = (round: Round, key: string): number => present(round.get(key))[figure];
    const ratios = rounds.map((round) => of(round, ours) / of(round, theirs));
    const ratio = { best, median: median(ratios.sort((a, b) => a - b)) };
    const holds = isThroughput ? ratio.median >= budget : ratio.median <= budget;
    line({ name: `service against ${peer}, ${load}, ${figure}`, ...ratio, budget, holds });
  }
}

/** The policy of the comparison as all three take it, and what it answers; the exchange's path. */
async function writeInputs(directory: string): Promise<string> {
  writeFileSync(join(directory, "s.pt"), randomCheckpoint());
  const words = ["export", "s.pt", "--activation", "elu", "--output", "s.onnx"];
  const exported = run([NATIVE_BINARY, ...words], { cwd: directory });
  if (exported.status !== 0) throw new Error(exported.stderr);
  const onnx = join(directory, "s.onnx");
  using policy = await openPolicy(onnx, DEMO_POLICY.obsStats);
  writeNetwork(join(directory, "network.bin"), onnx, present(policy.normalizer));
  const exchange = join(directory, "exchange.bin");
  writeExchange(exchange, await answersOf(policy, ROWS));
  return exchange;
}

async function readyTime(directory: string, command: readonly string[]): Promise<void> {
  const tookMs: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const started = performance.now();
    await using service = await startReady([...command, "--warmup", "16"], directory);
    tookMs.push(performance.now() - started);
    void service;
  }
  tookMs.sort((a, b) => a - b);
  const [best, median] = [tookMs[0], tookMs[ROUNDS >> 1]];
  line({ name: "serve, start to ready", unit: "ms", best, median, runs: ROUNDS, budget: 400 });
}

/** Starts a service and waits for its READY; ends it when disposed of. */
async function startReady(
  command: readonly string[],
  cwd: string,
): Promise<AsyncDisposable & { readonly pid: number }> {
  // A session of its own, as the engine has one: the kernel shares a busy CPU among sessions.
  const child = Bun.spawn([...command], { cwd, stdio: ["pipe", "pipe", "pipe"], detached: true });
  const { value } = await child.stdout.getReader().read();
  if (!new TextDecoder().decode(value).startsWith("READY")) {
    throw new Error(`${command[0]} is not ready: ${await new Response(child.stderr).text()}`);
  }
  return {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}
