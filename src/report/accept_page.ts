/**
 * The page of an acceptance: the verdict, the blueprint's table with what each row rests on, and
 * below it the figures that the rows come from. Made of the document alone.
 */

import type { AcceptDocument, AcceptRow } from "./accept_document.ts";
import { gaitFigures, latencyFigure, powerFigure } from "./accept_figures.ts";
import {
  boardTables,
  fileTable,
  gaitTable,
  latencyTable,
  parityNote,
  powerNote,
} from "./accept_tables.ts";
import { type Figure, renderFigure } from "./figure.ts";
import { formatCount } from "./format_number.ts";
import { html, type Html } from "./html.ts";
import { footer, readableTime } from "./page_parts.ts";
import { verdictLine, verdictTerms } from "./verdict_line.ts";
import { renderPage } from "./page.ts";

/** Renders the page; the same document gives the same bytes. */
export function renderAcceptPage(document: AcceptDocument): string {
  const { measured, limits } = document;
  const latency = latencyFigure(measured.latency, limits);
  const power = powerFigure(measured.power, limits);
  const gait = gaitFigures(measured.gait);
  const figures: readonly Figure[] = [latency, power, ...gait];
  return renderPage({
    title: `lite3rl acceptance: ${verdictLine(document)}`,
    body: html`<header>${head(document)}</header>
      <main>
        ${table(document.rows)}
        <noscript><p class="lead">The plots need JavaScript; nothing is fetched.</p></noscript>
        <h2>Latency</h2>
        ${renderFigure(latency)}${latencyTable(measured)}
        <h2>Actions</h2>
        ${parityNote(measured.parity)}
        <h2>Power</h2>
        ${renderFigure(power)}${powerNote(measured.power)}
        <h2>Gait</h2>
        ${gaitTable(document)}${gait.map(renderFigure)}
        <h2>Board</h2>
        ${boardTables(measured.board)}
        <h2>Files</h2>
        ${fileTable(document)}
      </main>
      ${footer(document.version)}`,
    figures,
    report: document,
  });
}

function head(document: AcceptDocument): Html {
  const { verdict, version, startedAt, machine, model, rows, reasons, notes } = document;
  const of = (state: AcceptRow["state"]) => rows.filter((row) => row.state === state).length;
  const terms = verdictTerms(document);
  // A pass is green only where all was measured against the usual limits.
  const kind = verdict !== "PASS" ? "bad" : terms === "" ? "good" : "";
  const signs = { PASS: "✓ Passed", FAIL: "✕ Failed", INCOMPLETE: "○ Incomplete" };
  const counts =
    `${formatCount(of("pass"), "row")} passed, ${of("fail")} failed, ` +
    `${of("not measured")} not measured`;
  return html`<p class="byline">
      <span class="verdict ${kind}" aria-label="${verdict}">${signs[verdict]}${terms}</span>
      <span>lite3rl ${version} accept</span>
      <time datetime="${startedAt}">${readableTime(startedAt)}</time>
      <span>${machine}</span>
    </p>
    <h1>${model}: ${counts}</h1>
    ${reasons.map((reason) => html`<p class="failure bad">${reason}</p>`)}
    ${notes.map((note) => html`<p class="lead">${note}</p>`)}`;
}

const SIGNS = {
  pass: html`<span class="good" aria-label="passed">✓</span>`,
  fail: html`<span class="bad" aria-label="failed">✕</span>`,
  "not measured": html`<span aria-label="not measured">○</span>`,
} as const;

function table(rows: readonly AcceptRow[]): Html {
  return html`<table class="rows checks criteria">
    <thead>
      <tr>
        <th></th>
        <th>Criterion</th>
        <th>Limit</th>
        <th>Found</th>
        <th class="secondary">Rests on</th>
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        ({ title, state, limit, found, evidence, why }) =>
          html`<tr>
            <td>${SIGNS[state]}</td>
            <td>${title}</td>
            <td>${limit.replace(/^< /, "<\u00A0")}</td>
            <td>${foundText(found, state, why)}</td>
            <td class="secondary">${evidence ?? ""}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function foundText(found: string, state: AcceptRow["state"], why: string): Html {
  if (state === "pass") return html`${found}`;
  const reason = state === "fail" ? html`<span class="bad">${why}</span>` : `not measured: ${why}`;
  return found === "" ? html`${reason}` : html`${found}<br />${reason}`;
}
