/**
 * `bun run soak [--requests 10000000] [--reload-requests 1000000] [--fault-requests 100000]
 * [--fallback-requests 100000] [--seed 1]`: the built service under millions of requests; then
 * while its model is opened anew each second; then over a library that fails, hangs and crashes,
 * without and with a fallback. Prints a summary of each as JSON; fails if any answer was wrong, or
 * if memory grew.
 */

import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import build from "./build.ts";
import { NATIVE_BINARY } from "./project.ts";
import {
  type SoakOptions,
  type SoakSummary,
  soakFallback,
  soakFaults,
  soakReloads,
  soakSound,
} from "./service_soak.ts";
import { TOOLS } from "./tools.ts";

/** Memory does not grow by more than this; over fewer requests it has not settled. */
const GROWN_MB = 2;
const FLAT_FROM = 1_000_000;

export default async function soak(args: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      requests: { type: "string", default: "10000000" },
      "reload-requests": { type: "string", default: "1000000" },
      "fault-requests": { type: "string", default: "100000" },
      "fallback-requests": { type: "string", default: "100000" },
      seed: { type: "string", default: "1" },
    },
  });
  const cc = TOOLS.cc();
  if ("missing" in cc) throw new Error(cc.missing);
  const built = await build([process.arch]);
  if (built !== 0) return built;
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-soak-"));
  const common = { program: [NATIVE_BINARY], cc: cc.path, seed: count(values.seed) };
  const runs = [
    { name: "sound", start: soakSound, requests: count(values.requests) },
    { name: "reloads", start: soakReloads, requests: count(values["reload-requests"]) },
    { name: "faults", start: soakFaults, requests: count(values["fault-requests"]) },
    { name: "fallback", start: soakFallback, requests: count(values["fallback-requests"]) },
  ] as const;
  let isGood = true;
  try {
    for (const { name, start, requests } of runs) {
      if (requests === 0) continue;
      const own = join(directory, name);
      mkdirSync(own);
      const onProgress = progressOf(name, requests);
      const summary = await start({ ...common, directory: own, requests, onProgress });
      const faults = findFaults(summary, name === "sound" && requests >= FLAT_FROM);
      console.log(JSON.stringify({ name, ...summary, faults }));
      isGood &&= faults.length === 0;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return isGood ? 0 : 1;
}

function count(text: string): number {
  if (/^\d{1,12}$/.test(text)) return Number(text);
  throw new Error(`need a whole number, not "${text}"`);
}

function progressOf(name: string, requests: number): SoakOptions["onProgress"] {
  let said = 0;
  return (settled) => {
    const percent = Math.floor((100 * settled) / requests);
    if (percent >= said + 5) console.error(`${name}: ${(said = percent)} % of ${requests}`);
  };
}

/** What of the run must not be. */
function findFaults({ wrong, status, residentMb }: SoakSummary, isFlat: boolean): string[] {
  const { grown = 0 } = residentMb ?? {};
  return [
    ...(wrong > 0 ? [`${wrong} wrong answers`] : []),
    ...(status !== 0 ? [`the service ended with status ${status}`] : []),
    ...(isFlat && grown > GROWN_MB ? [`memory grew by ${grown} MB`] : []),
  ];
}
