/**
 * For tests, as a program of its own: hostile files, and real ones cut off or damaged, through the
 * whole of `readCheckpoint`. Prints how they ended, what a case took at most, and the memory.
 *
 * Usage: bun hostile_run_fixture.ts read <directory> | cut | flip <seed> <cases>
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lite3Error } from "../base/errors.ts";
import { memorySource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { setQuiet } from "../base/log.ts";
import { type CheckpointHints, readCheckpoint } from "../policy/read_checkpoint.ts";
import { damage, randomIntegers } from "./decoder_fixture.ts";
import { isZip, openZip, writeZip } from "./zip.ts";

export interface HostileRun {
  readonly cases: number;
  readonly values: number;
  /** How many were refused, by code. */
  readonly refused: Readonly<Record<string, number>>;
  /** What ended otherwise than in a value or a Lite3Error: stacks. */
  readonly bugs: readonly string[];
  /** Processor time of the slowest case. */
  readonly slowestMs: number;
  readonly rssBytes: number;
  /** Of `read`: code and message by the file's name; code VALUE and the layout where it is one. */
  readonly endings: Readonly<Record<string, readonly [code: string, message: string]>>;
}

interface Real {
  readonly file: string;
  readonly hints: CheckpointHints;
}

const FIXTURES = join(import.meta.dir, "../../fixtures/checkpoints");
const CUT: readonly Real[] = [
  { file: "actor_critic_elu_torch_2_15.pt", hints: { activation: "elu" } },
  { file: "actor_critic_legacy_torch_1_13.pt", hints: { activation: "tanh" } },
  { file: "torchscript_policy_normalized_torch_2_15.pt", hints: {} },
  { file: "sb3_2_9_ppo.zip", hints: {} },
];
const FLIPPED: readonly Real[] = [
  ...CUT,
  { file: "actor_critic_layer_norm.pt", hints: { activation: "elu" } },
  { file: "actor_critic_legacy_views.pt", hints: { activation: "sigmoid" } },
  { file: "rsl_rl_4_0_lstm.pt", hints: { activation: "tanh", normalizerEpsilon: 0.01 } },
  { file: "rl_games_lstm.pth", hints: { activation: "elu", normalizerEpsilon: 1e-5 } },
  { file: "sb3_2_9_sac.zip", hints: {} },
  { file: "torchscript_rsl_rl_5_5_lstm.pt", hints: {} },
];
const STEP_BYTES = 64;

const directory = mkdtempSync(join(tmpdir(), "lite3rl-hostile-"));
const path = join(directory, "hostile.pt");
const run = { cases: 0, values: 0, refused: {} as Record<string, number>, bugs: [] as string[] };
const endings: Record<string, readonly [string, string]> = {};
let slowestMs = 0;

async function attempt(bytes: Uint8Array, hints: CheckpointHints, what: string) {
  writeFileSync(path, bytes);
  run.cases++;
  const before = process.cpuUsage();
  const [code, message] = await ending(hints);
  const { user, system } = process.cpuUsage(before);
  slowestMs = Math.max(slowestMs, (user + system) / 1000);
  if (code === "VALUE") run.values++;
  else run.refused[code] = (run.refused[code] ?? 0) + 1;
  if (code === "BUG") run.bugs.push(`${what}: ${message}`);
  return [code, message] as const;
}

async function ending(hints: CheckpointHints): Promise<readonly [string, string]> {
  try {
    return ["VALUE", (await readCheckpoint(path, hints)).layout];
  } catch (error) {
    if (!(error instanceof Lite3Error)) {
      return ["BUG", error instanceof Error ? (error.stack ?? error.message) : String(error)];
    }
    return [error.code, error.message.replace(`Cannot read checkpoint "${path}": `, "")];
  }
}

async function readAll(folder: string): Promise<void> {
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    endings[name] = await attempt(bytes, { activation: "elu" }, name);
  }
}

async function cutAll(): Promise<void> {
  for (const { file, hints } of CUT) {
    const bytes = readFileSync(join(FIXTURES, file));
    for (let length = 0; length < bytes.length; length += STEP_BYTES) {
      await attempt(bytes.subarray(0, length), hints, `${file} cut at ${length}`);
    }
  }
}

/** Half the cases damage the file, half an entry, whose checksum is made right again. */
async function flipAll(seed: number, cases: number): Promise<void> {
  const random = randomIntegers(seed);
  const files = FLIPPED.map(({ file, hints }) => {
    return { file, hints, bytes: readFileSync(join(FIXTURES, file)) };
  });
  for (let index = 0; index < cases; index++) {
    const real = files[index % files.length];
    if (real === undefined) return;
    const { file, hints, bytes } = real;
    const isInside = isZip(memorySource(bytes)) && random(2) === 0;
    const damaged = isInside ? await damageEntry(bytes, random) : damage(bytes, random);
    await attempt(damaged, hints, `${file}, case ${index} of seed ${seed}`);
  }
}

/** An archive whose trees, code or weights are damaged, at any depth of archives. */
async function damageEntry(
  bytes: Uint8Array,
  random: (below: number) => number,
): Promise<Uint8Array> {
  const zip = await openZip(memorySource(bytes));
  const names = [...zip.entries.keys()];
  const telling = names.filter((name) => /\.(?:pkl|py|pth)$|^data$|byteorder$/.test(name));
  const from = random(4) === 0 ? names : telling;
  const chosen = from[random(from.length)] ?? "";
  const files: Record<string, Uint8Array> = {};
  for (const name of names) {
    const content = zip.read(name, LIMITS.modelBytes);
    if (name !== chosen) files[name] = content;
    else if (isZip(memorySource(content))) files[name] = await damageEntry(content, random);
    else files[name] = content.length === 0 ? content : damage(content, random);
  }
  return writeZip(files);
}

const [mode, argument = "", cases = "1"] = process.argv.slice(2);
setQuiet(true);
try {
  if (mode === "read") await readAll(argument);
  else if (mode === "cut") await cutAll();
  else await flipAll(Number(argument), Number(cases));
  Bun.gc(true);
  const result: HostileRun = { ...run, slowestMs, rssBytes: process.memoryUsage.rss(), endings };
  process.stdout.write(JSON.stringify(result));
} finally {
  rmSync(directory, { recursive: true });
}
