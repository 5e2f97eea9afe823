/**
 * The files that a comparison leaves for others: a page for people, JUnit XML for a CI.
 */

import { version } from "../../package.json" with { type: "json" };
import { present } from "../base/assert.ts";
import { writeFileAtomic } from "../base/files.ts";
import { finiteSamples } from "../compare/non_finite.ts";
import { plausibleRows } from "../dataset/sample_kinds.ts";
import { LITE3_CONTRACT, observationSize } from "../policy/contract.ts";
import { renderJunit } from "../report/junit.ts";
import type { ParityComparison } from "../report/parity_document.ts";
import { type ComparedPair, renderParityPage } from "../report/parity_page.ts";
import type { ParityResult } from "./compare_sides.ts";
import { describeSide } from "./render.ts";

export interface Reporting {
  readonly report?: string | undefined;
  readonly junit?: string | undefined;
}

export interface Judged {
  readonly result: ParityResult;
  readonly document: ParityComparison;
}

/** Points of one output's panel: more would only be darker. */
const POINTS = 400;

/** Written whether or not the comparison passed. */
export function writeReports(
  judged: readonly Judged[],
  startedAt: string,
  { report, junit }: Reporting,
): void {
  if (junit !== undefined) {
    writeFileAtomic(junit, renderJunit(judged.map(({ document }) => document)), "--junit");
  }
  if (report !== undefined) {
    const comparisons = judged.map(describePair);
    writeFileAtomic(report, renderParityPage({ version, startedAt, comparisons }), "--report");
  }
}

function describePair({ result, document }: Judged): ComparedPair {
  const { sides, comparison } = result;
  const [a, b] = sides;
  const isLite3 = a.observationSize === observationSize(LITE3_CONTRACT);
  return {
    document,
    values: { errors: comparison.errors, points: pointsOf(result) },
    restsOn: { a: describeSide(a), b: describeSide(b) },
    ...(isLite3 ? { terms: LITE3_CONTRACT.observation } : {}),
  };
}

/** Per output: the action of a, and what b adds to it, at samples evenly over all. */
function pointsOf({ sides, samples, actions }: ParityResult): [number, number][][] {
  const [{ actionSize }] = sides;
  const [a, b] = actions;
  const plausible = actionSize * plausibleRows(samples).rows;
  const [ofA, ofB] = [a.subarray(0, plausible), b.subarray(0, plausible)];
  const finite = finiteSamples(ofA, ofB, actionSize);
  const step = Math.ceil(finite.length / POINTS);
  const shown = finite.filter((_, i) => i % step === 0);
  return Array.from({ length: actionSize }, (_, output) =>
    shown.map((sample): [number, number] => {
      const x = present(a[sample * actionSize + output]);
      return [x, present(b[sample * actionSize + output]) - x];
    }),
  );
}
