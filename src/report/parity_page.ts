/**
 * The page of `lite3rl parity --report`: one HTML file that says whether two sides act alike, on
 * what evidence, where they differ, and what limits would have passed.
 */

import { closedLoopSentence } from "./closed_loop_document.ts";
import { closedLoopSection, pairPanels } from "./closed_loop_section.ts";
import { renderFigure, type Figure } from "./figure.ts";
import { formatCount, formatSignificant } from "./format_number.ts";
import { html, type Html } from "./html.ts";
import { footer, mark, readableTime, tile } from "./page_parts.ts";
import { renderPage } from "./page.ts";
import type { ParityComparison } from "./parity_document.ts";
import { errorHistogram, type ParityValues, scatterPanels } from "./parity_figures.ts";
import {
  checkTable,
  fileNotes,
  kindTable,
  layerTable,
  outputTable,
  worstSamples,
} from "./parity_tables.ts";

export interface ParityPage {
  /** Version of lite3rl. */
  readonly version: string;
  /** ISO 8601; the only thing that two runs on the same inputs do not have in common. */
  readonly startedAt: string;
  readonly comparisons: readonly ComparedPair[];
}

export interface ComparedPair {
  readonly document: ParityComparison;
  readonly values: ParityValues;
  /** On what each side's figures rest, in words. */
  readonly restsOn: { readonly a: string; readonly b: string };
  /** The parts of an observation, in order, where they are known. */
  readonly terms?: readonly { readonly name: string; readonly size: number }[];
}

/** Renders the page; the same page gives the same bytes. */
export function renderParityPage(page: ParityPage): string {
  const { comparisons } = page;
  const figures: Figure[] = [];
  const isAlone = comparisons.length === 1;
  const sections = comparisons.map((pair, i) => section(pair, `c${i}`, isAlone, figures));
  const documents = comparisons.map(({ document }) => document);
  const passed = documents.filter(({ pass }) => pass).length;
  const pass = passed === documents.length;
  return renderPage({
    title: `lite3rl parity: ${pass ? "passed" : "failed"}`,
    body: html`<header>${verdict(page, pass, passed)}</header>
      <main>
        ${sections}
        <noscript><p class="lead">The plots need JavaScript; nothing is fetched.</p></noscript>
      </main>
      ${footer(page.version)}`,
    figures,
    report: documents,
  });
}

function verdict({ version, startedAt, comparisons }: ParityPage, pass: boolean, passed: number) {
  const [first] = comparisons;
  const isAlone = comparisons.length === 1;
  const failures = comparisons.flatMap(({ document: { checks, sides } }) => {
    const pair = isAlone ? "" : `${sides.a} and ${sides.b}: `;
    return checks.flatMap((check) => check.failures.map((failure) => pair + failure));
  });
  const line =
    isAlone && first !== undefined
      ? summary(first.document)
      : `${passed} of ${formatCount(comparisons.length, "comparison")} passed`;
  return html`<p class="byline">
      ${mark(pass, pass ? "✓ Passed" : "✕ Failed", "verdict")}
      <span>lite3rl ${version} parity</span>
      <time datetime="${startedAt}">${readableTime(startedAt)}</time>
    </p>
    <h1>${line}</h1>
    ${failures.map((failure) => html`<p class="failure bad">${failure}</p>`)}`;
}

function summary({ mae, gate, max, samples, closedLoop }: ParityComparison): string {
  return (
    `MAE ${formatSignificant(mae)} (gate ${formatSignificant(gate.mae)}), largest ` +
    `${formatSignificant(max)}, on ${formatCount(samples, "observation")}` +
    (closedLoop === undefined ? "" : `; ${closedLoopSentence(closedLoop)}`)
  );
}

function section(pair: ComparedPair, id: string, isAlone: boolean, figures: Figure[]): Html {
  const { document, values, terms } = pair;
  const histogram = errorHistogram(id, document, values);
  const panels = scatterPanels(id, document, values);
  const pairs = pairPanels(id, document);
  figures.push(histogram, ...panels, ...pairs);
  const shown = values.points[0]?.length ?? 0;
  return html`${isAlone ? "" : heading(document)}${evidence(pair)}${keyFigures(document)}
    <h2>Checks</h2>
    ${checkTable(document)}${fileNotes(document)}${closedLoopSection(document, pairs)}
    <h2>Errors</h2>
    ${renderFigure(histogram)}${outputTable(document)}${kindTable(document)}
    <h2>Where the errors are</h2>
    <p class="lead">
      Each point is a sample: the action of a, and what b adds to it, for ${shown} of
      ${formatCount(document.samples, "sample")}. All panels have the same height; the worst samples
      are marked.
    </p>
    <div class="panels">${panels.map(renderFigure)}</div>
    ${layerTable(document)}
    <h2>Worst samples</h2>
    ${worstSamples(document, terms)}`;
}

function heading({ sides, pass }: ParityComparison): Html {
  return html`<h2 class="pair-heading">
    ${mark(pass, pass ? "✓" : "✕", "", pass ? "passed" : "failed")} ${sides.a} and ${sides.b}
  </h2>`;
}

/** What was compared, and on what that rests; an NPU only where one was measured. */
function evidence({ document, restsOn }: ComparedPair): Html {
  const { sides, space, dataset } = document;
  const as = space === "raw" ? "before any normalizer" : "as the network sees them";
  return html`<div class="ran-on">
    <strong>${npuSentence(document)}</strong>
    <dl class="sides">
      <dt>a</dt>
      <dd><strong>${sides.a}</strong>: ${restsOn.a}</dd>
      <dt>b</dt>
      <dd><strong>${sides.b}</strong>: ${restsOn.b}</dd>
    </dl>
    Observations: ${dataset}, ${as}.
  </div>`;
}

function npuSentence({ evidence: { a, b }, services = {} }: ParityComparison): string {
  const onNpu = [
    { evidence: a, service: services.a },
    { evidence: b, service: services.b },
  ].filter((side) => side.evidence === "npu");
  if (onNpu.some(({ service }) => service === undefined)) return "Measured on an NPU.";
  if (onNpu.length > 0) return "Measured on an NPU, by the word of the service.";
  const isUnstated = [a, b].includes("unstated");
  return isUnstated ? "No figure here is stated to be an NPU's." : "No figure here is an NPU's.";
}

function keyFigures(document: ParityComparison): Html {
  const { mae, gate, max, worst, quantiles, rmse, sqnrDb, cosine, samples, perOutput } = document;
  return html`<dl class="key-figures">
    ${[
      tile("MAE", formatSignificant(mae), `gate ${formatSignificant(gate.mae)}`),
      tile("Largest", formatSignificant(max), `${worst.output}, sample ${worst.sample}`),
      tile(
        "p99",
        formatSignificant(quantiles.p99),
        `p50 ${formatSignificant(quantiles.p50)}, RMSE ${formatSignificant(rmse)}`,
      ),
      tile(
        "Signal to noise",
        sqnrDb === null ? "no noise" : formatSignificant(sqnrDb, "dB"),
        `cosine ${cosine.toFixed(7)}`,
      ),
      tile("Observations", String(samples), formatCount(perOutput.length, "output")),
    ]}
  </dl>`;
}
