/**
 * The files that a comparison leaves for others: JUnit XML.
 */

import { writeFileAtomic } from "../base/files.ts";
import { renderJunit } from "../report/junit.ts";
import type { ParityComparison } from "../report/parity_document.ts";

export interface Reporting {
  readonly junit?: string | undefined;
}

/** Written whether or not the comparison passed. */
export function writeReports(documents: readonly ParityComparison[], { junit }: Reporting): void {
  if (junit !== undefined) writeFileAtomic(junit, renderJunit(documents));
}
