/**
 * Sets that were recorded before, on the robot or in a simulator, merged into one.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import { notice } from "../base/log.ts";
import { readObservations } from "../dataset/observations.ts";
import type { ObservationPart } from "../environment/environment.ts";
import { LITE3_CONTRACT, observationSize } from "../policy/contract.ts";

export interface RecordedSet {
  readonly path: string;
  readonly rows: number;
}

/** Reads and joins sets of one width. Throws CONFIG when they, or the terms, differ in it. */
export async function readSets(
  paths: readonly string[],
  terms: readonly ObservationPart[] | undefined,
) {
  const sum = terms?.reduce((total, { size }) => total + size, 0);
  let width = sum;
  const parts: Float32Array[] = [];
  const sets: RecordedSet[] = [];
  for (const path of paths) {
    const { rows, data } = await readObservations(path);
    const found = data.length / rows;
    if (width !== undefined && found !== width) {
      const other = sets.length === 0 ? "--terms" : quote(paths[0]);
      throw new Lite3Error(
        "CONFIG",
        `Cannot use ${quote(path)}: it is ${found} wide, need the ${width} of ${other}`,
      );
    }
    width = found;
    parts.push(data);
    sets.push({ path, rows });
  }
  const size = width ?? 0;
  const data = new Float32Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  const about = { policy: null, environment: null, sets, episodes: 0, falls: 0, terrains: null };
  return { data, width: size, terms: terms ?? guessTerms(size), about };
}

/** The Lite3's terms for a set of its width, said aloud; one term for any other. */
function guessTerms(width: number): readonly ObservationPart[] {
  if (width !== observationSize(LITE3_CONTRACT)) return [{ name: "observation", size: width }];
  notice(`${width} numbers: taken as the Lite3's observation; --terms says otherwise`);
  return LITE3_CONTRACT.observation;
}
