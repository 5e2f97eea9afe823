/**
 * A calibration set for the conversion: observations of a policy in an environment, or recorded
 * ones, and what they cover. They are kept as the robot has them, before any normalizer.
 */

import { existsSync } from "node:fs";
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile, removeFile, writeFileAtomic } from "../base/files.ts";
import { checkOutputFiles } from "../base/output_files.ts";
import { LIMITS } from "../base/limits.ts";
import { notice } from "../base/log.ts";
import { stopOnSignals } from "../base/stop.ts";
import { progress } from "../cli/output.ts";
import { columnStatistics } from "../dataset/column_statistics.ts";
import { distinctRows, takeRows } from "../dataset/rows.ts";
import type { ObservationPart } from "../environment/environment.ts";
import { COMMAND_RANGE } from "../environment/drawn_commands.ts";
import { openEnvironment, terrainsOf } from "../environment/open.ts";
import { parseProgram, PROGRAM_DEFAULTS, type ProgramOptions } from "../environment/program.ts";
import { isNpy, readNpy, writeNpy } from "../formats/npy.ts";
import {
  COMMAND_TERM,
  type CommandCells,
  commandCells,
  type CommandCoverage,
  commandCoverage,
  findCommand,
} from "./commands.ts";
import { type TermCoverage, termCoverage } from "./coverage.ts";
import { placeStats, type StatsPlace, writeStats } from "./place_stats.ts";
import { isModelFile, openActor } from "./policies.ts";
import { type RangeGrowth, rangeGrowth } from "./range_growth.ts";
import { readSets, type RecordedSet } from "./recorded_sets.ts";
import { rollOut } from "./rollout.ts";
import { subsample } from "./subsample.ts";

/** Rows recorded for each that is kept, where commands are balanced. */
export const STRATIFY_FROM = 4;

export interface CollectOptions {
  readonly env: string;
  /** `random`, `stand`, a model file or a program; none where `sets` are given. */
  readonly policy?: string | undefined;
  /** Recorded sets to take instead of a rollout, .npy or .npz. */
  readonly sets?: readonly string[];
  readonly samples: number;
  /**
   * A rollout records so many times `samples`, and those that cover most are kept; 1, or
   * `STRATIFY_FROM` with `stratify`.
   */
  readonly oversample?: number | undefined;
  /** Keep as many rows of each commanded velocity. */
  readonly stratify?: typeof COMMAND_TERM | undefined;
  /** Parts of the observation, where the environment does not say. */
  readonly terms?: readonly ObservationPart[] | undefined;
  readonly output: string;
  readonly obsStats?: string | undefined;
  readonly start?: "standing" | "lying" | undefined;
  readonly rateHz?: number | undefined;
  readonly seed: number;
  readonly program?: ProgramOptions;
}

/** The document of `collect --json`. */
export interface CollectResult {
  readonly output: string;
  readonly samples: number;
  /** What was asked for; recorded sets may have fewer. */
  readonly requested: number;
  /** Observations they were chosen from. */
  readonly chosenFrom: number;
  readonly observationSize: number;
  /** Where mean and std of the samples were written, if they were. */
  readonly obsStats: string | null;
  readonly policy: string | null;
  readonly environment: string | null;
  readonly sets: readonly RecordedSet[];
  readonly episodes: number;
  readonly falls: number;
  readonly seed: number;
  readonly coverage: readonly TermCoverage[];
  /** Rows that are there before already. */
  readonly duplicates: number;
  readonly commands: CommandCoverage | null;
  /** Terrains walked on, of those the environment has. */
  readonly terrains: { readonly covered: readonly string[]; readonly of: readonly string[] } | null;
  /** Of the observations that the samples were chosen from. */
  readonly ranges: RangeGrowth;
  readonly seconds: number;
}

/** Observations before some of them are kept, and where they are from. */
interface Source {
  readonly data: Float32Array<ArrayBuffer>;
  readonly width: number;
  readonly terms: readonly ObservationPart[];
  /** Limits of the commands, where they are known. */
  readonly commandRanges?: readonly (readonly [number, number])[];
  readonly about: Pick<
    CollectResult,
    "policy" | "environment" | "sets" | "episodes" | "falls" | "terrains"
  >;
}

/** Writes float32 [samples, N] to `output`. */
export async function collect(options: CollectOptions): Promise<CollectResult> {
  const started = performance.now();
  const { policy, sets = [], output, seed } = options;
  const inputs = [fileOf(policy), fileOf(options.env), ...sets];
  const set = { path: output, flag: "--output", kind: { name: ".npy", isKind: isNpy } };
  checkOutputFiles([set], [...inputs, options.obsStats]);
  const stats = await placeStats(options.obsStats, policy);
  checkOutputFiles([set, { path: stats.write, flag: "--obs-stats" }], inputs);
  const source =
    sets.length > 0 ? await readSets(sets, options.terms) : await record(options, stats);
  const { width, terms } = source;
  const data = await keep(source, options);
  const rows = data.length / width;
  writeFileAtomic(output, encodeSet(data, width));
  if (sets.length === 0) removePartial(output);
  if (stats.write !== undefined) writeStats(stats.write, columnStatistics(data, width), rows);
  const cells = cellsOf(data, source);
  return {
    output,
    samples: rows,
    requested: options.samples,
    chosenFrom: source.data.length / width,
    observationSize: width,
    obsStats: stats.write ?? null,
    ...source.about,
    seed,
    coverage: termCoverage(data, width, terms),
    duplicates: rows - distinctRows(data, width).length,
    commands: cells === undefined ? null : commandCoverage(cells),
    ranges: rangeGrowth(source.data, width, terms),
    seconds: (performance.now() - started) / 1000,
  };
}

/** Rolls the policy out. What was seen before a user's program failed is written beside. */
async function record(options: CollectOptions, stats: StatsPlace): Promise<Source> {
  const { env, policy, samples, stratify, output, seed } = options;
  const { oversample = stratify === undefined ? 1 : STRATIFY_FROM } = options;
  if (policy === undefined) {
    throw new Lite3Error(
      "USAGE",
      "collect needs --policy, or recorded sets instead, for example: lite3rl collect --policy random",
    );
  }
  const { start, rateHz } = options;
  using stop = stopOnSignals();
  const isInterrupted = (): boolean => stop.requested;
  const program = { ...(options.program ?? PROGRAM_DEFAULTS), isInterrupted };
  using environment = await openEnvironment(env, { start, rateHz, seed, program });
  const { observationSize: width, observationTerms } = environment;
  const terms = options.terms ?? observationTerms;
  checkTermSizes(terms, width);
  using actor = await openActor(policy, environment, seed, stats.read, program);
  const count = samples * oversample;
  checkMemory(count, width);
  const bar = progress("collect", count);
  const rolled = await rollOut(environment, actor, count, seed, bar.update, isInterrupted).finally(
    bar.finish,
  );
  const { observations: data, episodes, falls, failure } = rolled;
  if (failure !== undefined) throw keepPartial(failure, data, width, count, output);
  if (isModelFile(policy) && falls > episodes / 2) {
    throw new Lite3Error(
      "CHECK_FAILED",
      `The policy fell in ${falls} of ${episodes} episodes, so nothing was written: such a set ` +
        "is not what the robot sees; does it need --obs-stats, or other ones?",
    );
  }
  const { vx, vy, wz } = COMMAND_RANGE;
  const terrains = terrainsOf(env) ?? null;
  return {
    data,
    width,
    terms,
    ...(environment.setCommand === undefined ? {} : { commandRanges: [vx, vy, wz] }),
    about: { policy: actor.label, environment: env, sets: [], episodes, falls, terrains },
  };
}

/** The file of a policy or environment, which its name may only begin with. */
function fileOf(spec: string | undefined): string | undefined {
  return spec === undefined ? undefined : (parseProgram(spec)?.path ?? spec);
}

function checkMemory(rows: number, width: number): void {
  const bytes = rows * width * Float32Array.BYTES_PER_ELEMENT;
  if (bytes <= LIMITS.modelBytes) return;
  throw new Lite3Error(
    "TOO_LARGE",
    `Cannot record ${rows} observations of ${width} numbers: they are ${bytes} bytes, at most ` +
      `${LIMITS.modelBytes} are taken; lower --samples or --oversample`,
  );
}

function checkTermSizes(terms: readonly ObservationPart[], width: number): void {
  const sum = terms.reduce((total, { size }) => total + size, 0);
  if (sum === width) return;
  throw new Lite3Error(
    "USAGE",
    `Cannot use --terms: they add up to ${sum} numbers, the observation has ${width}`,
  );
}

function keepPartial(
  failure: Lite3Error,
  data: Float32Array,
  width: number,
  count: number,
  output: string,
): Lite3Error {
  const rows = data.length / width;
  if (rows === 0) return failure;
  const partial = partialOf(output);
  const kept = rowsOf(partial);
  if (kept > rows) {
    return new Lite3Error(
      failure.code,
      `${failure.message}; ${quote(partial)} is kept as it is: it has ${kept} observations, ` +
        `these were ${rows}`,
      { cause: failure },
    );
  }
  writeFileAtomic(partial, encodeSet(data, width));
  return new Lite3Error(
    failure.code,
    `${failure.message}; the ${rows} of ${count} observations before it are in ${quote(partial)}`,
    { cause: failure },
  );
}

/** Where what was seen before a failure is kept. */
const partialOf = (output: string): string => output.replace(/(\.npy)?$/, ".partial.npy");

/** Rows of an earlier partial set; 0 where there is none that can be read. */
function rowsOf(partial: string): number {
  if (!existsSync(partial)) return 0;
  try {
    return readNpy(readFile(partial, LIMITS.modelBytes)).shape[0] ?? 0;
  } catch (error) {
    if (error instanceof Lite3Error) return 0;
    throw error;
  }
}

/** A whole set makes the partial one of its name useless. */
function removePartial(output: string): void {
  const partial = partialOf(output);
  if (!existsSync(partial)) return;
  removeFile(partial);
  notice(`removed ${quote(partial)}, the set is whole now`);
}

/** The rows that are kept: all, or those that cover most, balanced over commands if asked. */
async function keep(source: Source, options: CollectOptions): Promise<Float32Array> {
  const { data, width } = source;
  const { samples: count, stratify, seed } = options;
  const strata = stratify === undefined ? undefined : cellsOf(data, source)?.cellOf;
  if (stratify !== undefined && strata === undefined) {
    const names = source.terms.map(({ name }) => name).join(", ");
    throw new Lite3Error(
      "USAGE",
      `Cannot stratify by ${stratify}: the observation has ${names}; say where the command is ` +
        `with --terms, such as other:6,${COMMAND_TERM}:3,rest:36`,
    );
  }
  if (data.length / width <= count && strata === undefined) return data;
  const bar = progress("choose", count);
  const rows = await subsample(data, width, {
    count,
    seed,
    onChosen: bar.update,
    ...(strata === undefined ? {} : { strata }),
  }).finally(bar.finish);
  return takeRows(data, width, rows);
}

function cellsOf(data: Float32Array, source: Source): CommandCells | undefined {
  const place = findCommand(source.terms);
  return place && commandCells(data, source.width, place, source.commandRanges);
}

function encodeSet(data: Float32Array, width: number): Uint8Array {
  const shape = [data.length / width, width];
  return writeNpy({ dtype: "float32", shape, data: Float32Array.from(data) });
}
