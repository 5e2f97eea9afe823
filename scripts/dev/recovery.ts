/**
 * `bun run recovery [--times 200] [--spare]`: a service over the test double of the NPU's library,
 * under load, whose engine is killed, crashed, hung and made to give NaN in turn. Prints how long
 * each kind took until the next right answer; fails if an answer was wrong or if the supervisor's
 * memory grew.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { programCommand } from "../../src/base/program.ts";
import { DEMO_POLICY, demoNetwork, readGoldenActions } from "../../src/policy/policy_fixture.ts";
import { doubleLibrary, doubleOf, doubleOptions } from "../../src/runtime/rknn_double_fixture.ts";
import { askAll, type Load, startLoad } from "../../src/serve/load_fixture.ts";
import { TOOLS, toolVariable } from "./tools.ts";

const KINDS = ["kill", "crash", "hang", "nan"] as const;
type Kind = (typeof KINDS)[number];

const INFER_TIMEOUT_MS = 200;
/** Rounds before memory is looked at: by then every path has run. */
const SETTLED = 20;
const GROWTH_MAX_MB = 4;
/** With --spare: how long the next one may take to be ready before its turn comes. */
const SPARE_READY_MS = 1_000;
/** Upper bounds of the printed histogram. */
const BOUNDS_MS = [5, 10, 20, 50, 100, 150, 200, 300, 500, 1000, Infinity];

export default async function recovery(args: readonly string[]): Promise<number> {
  const options = {
    times: { type: "string", default: "200" },
    spare: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...args], options });
  const cc = TOOLS.cc();
  if ("missing" in cc) throw new Error(cc.missing);
  process.env[toolVariable("cc")] ??= cc.path;
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-recovery-"));
  try {
    return await measure(directory, Number(values.times), values.spare === true);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(directory: string, times: number, spare: boolean): Promise<number> {
  const trigger = join(directory, "trigger");
  mkdirSync(trigger);
  const service = await startService(directory, trigger, spare);
  const load = startLoad(service.unix, await askAll(service.unix, await readRequests()));
  const tookMs = new Map<Kind, number[]>(KINDS.map((kind) => [kind, []]));
  const rssMb: number[] = [];
  for (let round = 0; round < times; round++) {
    await load.answers(50);
    if (spare) await Bun.sleep(SPARE_READY_MS);
    const kind = KINDS[round % KINDS.length] as Kind;
    tookMs.get(kind)?.push(await breakOnce(kind, service.pid, trigger, load));
    if (round >= SETTLED) rssMb.push(residentMb(service.pid));
    if (round % 20 === 19) console.error(`${round + 1} of ${times}`);
  }
  const { wrong, answered, closed } = load.stop();
  service.program.kill("SIGTERM");
  const status = await service.program.exited;
  const memory = { min: Math.min(...rssMb), max: Math.max(...rssMb), last: rssMb.at(-1) };
  for (const [kind, ms] of tookMs) console.log(JSON.stringify({ kind, ...summarize(ms) }));
  console.log(
    JSON.stringify({ spare, times, answered, wrong, closed, status, supervisorMb: memory }),
  );
  const hasGrown = rssMb.length > 0 && (memory.last ?? 0) - (rssMb[0] ?? 0) > GROWTH_MAX_MB;
  return wrong === 0 && status === 0 && !hasGrown ? 0 : 1;
}

async function startService(directory: string, trigger: string, spare: boolean) {
  const model = join(directory, "policy.rknn");
  writeFileSync(model, doubleOf(await demoNetwork()));
  const unix = join(directory, "s");
  const flags = [
    `--model=${model}`,
    `--obs-stats=${DEMO_POLICY.obsStats}`,
    `--librknnrt=${doubleLibrary()}`,
    "--io=float",
    `--socket=${unix}`,
    `--infer-timeout=${INFER_TIMEOUT_MS}ms`,
    "--no-config-file",
    "--quiet",
    ...(spare ? ["--spare"] : []),
  ];
  const program = Bun.spawn([...programCommand(), "serve", ...flags], {
    env: { ...process.env, ...doubleOptions({ TRIGGER: trigger }).env },
    stdio: ["ignore", "pipe", "ignore"],
  });
  for await (const chunk of program.stdout) {
    if (new TextDecoder().decode(chunk).includes("READY")) break;
  }
  return { program, pid: program.pid, unix };
}

async function readRequests(): Promise<Uint8Array[]> {
  const { observations } = await readGoldenActions();
  const size = 45;
  return Array.from(
    { length: observations.length / size },
    (_, i) => new Uint8Array(observations.slice(i * size, (i + 1) * size).buffer),
  );
}

/** Breaks the engine; ms from there to the first answer after the connection's end. */
async function breakOnce(kind: Kind, pid: number, trigger: string, load: Load): Promise<number> {
  const { closed } = load.result;
  const started = performance.now();
  // The supervisor's oldest child serves.
  if (kind === "kill") process.kill(childrenOf(pid)[0] as number, "SIGKILL");
  else writeFileSync(join(trigger, kind), "");
  const deadline = started + 20_000;
  // Ten NaN in a row end an engine, each one a connection.
  const ends = kind === "nan" ? 10 : 1;
  while (load.result.closed < closed + ends && performance.now() < deadline) await Bun.sleep(0);
  await load.answers(1);
  return performance.now() - started - (kind === "hang" ? INFER_TIMEOUT_MS : 0);
}

function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}

function residentMb(pid: number): number {
  const [, kb = "0"] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kb) / 1024;
}

/** For a hang, counted from its threshold. */
function summarize(ms: readonly number[]) {
  const sorted = ms.toSorted((a, b) => a - b);
  const at = (q: number): number => Math.round(sorted[Math.floor(q * (sorted.length - 1))] ?? NaN);
  const histogram = BOUNDS_MS.map((bound, i) => [
    `≤ ${bound} ms`,
    ms.filter((value) => value <= bound && value > (BOUNDS_MS[i - 1] ?? -Infinity)).length,
  ]).filter(([, count]) => count !== 0);
  return {
    count: ms.length,
    p50Ms: at(0.5),
    p90Ms: at(0.9),
    maxMs: at(1),
    histogram: Object.fromEntries(histogram) as Record<string, number>,
  };
}
