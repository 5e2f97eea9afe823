/**
 * What stands beside a model and belongs to it, so that advice can name it: a YAML that says the
 * activation, observation statistics of the right width.
 */

import { readdirSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { Lite3Error } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type ObservationStats, readObservationStats } from "../policy/normalizer.ts";

/** More files of one kind than this in a directory are not a policy's companions. */
const COMPANIONS_MAX = 20;

/** Small files beside `path` whose names end in one of `suffixes`, sorted. */
export function companions(path: string, suffixes: readonly string[]): string[] {
  const directory = dirname(path);
  const found = listNames(directory)
    .filter((name) => name !== basename(path) && suffixes.some((suffix) => name.endsWith(suffix)))
    .sort()
    .map((name) => join(directory, name))
    .filter((candidate) => isSmallFile(candidate));
  return found.length > COMPANIONS_MAX ? [] : found;
}

/** A directory whose files may be read but not listed has no companions. */
function listNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function isSmallFile(path: string): boolean {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat !== undefined && stat.isFile() && stat.size <= LIMITS.configBytes;
}

/** Observation statistics beside `path` that fit; undefined without them. */
export async function findStats(
  path: string,
  fits: (stats: ObservationStats) => boolean,
): Promise<string | undefined> {
  for (const candidate of companions(path, [".npz"])) {
    try {
      if (fits(await readObservationStats(candidate))) return candidate;
    } catch (error) {
      if (!(error instanceof Lite3Error)) throw error;
    }
  }
  return undefined;
}
