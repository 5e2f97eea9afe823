/**
 * Failures where a reviewer sees them: in GitHub Actions a line on stderr that the runner turns
 * into an annotation of the run (its workflow command `::error`, read from both streams).
 */

import { writeSync } from "node:fs";

export interface Annotation {
  readonly title: string;
  readonly message: string;
}

/** Says it to GitHub Actions; elsewhere nothing. */
export function annotate(annotation: Annotation): void {
  if (process.env["GITHUB_ACTIONS"] !== "true") return;
  try {
    writeSync(2, `${annotationLine(annotation)}\n`);
  } catch {
    // Nobody reads stderr; the exit status says it too.
  }
}

/** `::error title=…::…`, escaped as GitHub's toolkit does. */
export function annotationLine({ title, message }: Annotation): string {
  const data = (text: string): string =>
    text.replaceAll("%", "%25").replaceAll("\r", "%0D").replaceAll("\n", "%0A");
  const property = data(title).replaceAll(":", "%3A").replaceAll(",", "%2C");
  return `::error title=${property}::${data(message)}`;
}
