/**
 * Parts that every report has: its verdict, its key figures, its time, its footer.
 */

import { dependencies } from "../../package.json" with { type: "json" };
import { html, type Html } from "./html.ts";

/** Passed or failed by sign and word, not by colour alone. */
export function mark(ok: boolean, text: string, kind: string, label = text): Html {
  return html`<span class="${kind} ${ok ? "good" : "bad"}" aria-label="${label}">${text}</span>`;
}

export function tile(name: string, value: string, detail: string): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
    <dd>${detail}</dd>
  </div>`;
}

/** `2026-09-01T12:33:05.120Z` → `2026-09-01 12:33 UTC`; anything else as it came. */
export function readableTime(iso: string): string {
  return iso.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d)[:.\d]*Z$/, "$1 $2 UTC");
}

/** Who drew the plots, under which licence. */
export const PLOT_CREDIT = `Plots by uPlot ${dependencies.uplot} (MIT).`;

/** @param more what a report has to say besides, before the rest */
export function footer(version: string, more: Html = html``): Html {
  return html`<footer>
    ${more}
    <p>
      Written by lite3rl ${version}. This file fetches nothing; its numbers are in
      <code>&lt;script id="report"&gt;</code> as JSON. ${PLOT_CREDIT}
    </p>
  </footer>`;
}
