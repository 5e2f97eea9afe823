/**
 * The shell of every report: one file that needs nothing else. Style, plot library, data and
 * script are inside, and a content security policy says so to the browser: it fetches nothing and
 * runs the scripts of these exact hashes only, so that even markup that slipped through escaping
 * could not run. The page of a running service is such a file too, but may ask that service.
 */

import { createHash } from "node:crypto";
import plotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import plotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import { assert } from "../base/assert.ts";
import type { Figure } from "./figure.ts";
import clientScript from "./figures_client.js" with { type: "text" };
import { escapeHtml, html, type Html, markupOf, trustedHtml } from "./html.ts";
import figureStyle from "./figures.css" with { type: "text" };
import pageStyle from "./page.css" with { type: "text" };
import tableStyle from "./tables.css" with { type: "text" };

export interface Page {
  readonly title: string;
  readonly body: Html;
  /** Every figure that `body` renders, to be drawn. */
  readonly figures: readonly Figure[];
  /** The whole result, for programs: the text of `<script id="report">` is JSON. */
  readonly report: unknown;
  /** For a page that goes on asking the server it came from; a report asks nobody. */
  readonly live?: { readonly style: string; readonly script: string };
}

/** The client comes first: it reports an error in what follows, and draws when all is there. */
const SCRIPTS = [clientScript, plotScript] as const;

/** The page as text, the same bytes for the same input. */
export function renderPage(page: Page): string {
  const drawings = page.figures.flatMap(({ id, data }) => (data === null ? [] : [{ id, ...data }]));
  const scripts = page.live ? [...SCRIPTS, page.live.script] : SCRIPTS;
  const style = [plotStyle, tableStyle, pageStyle, figureStyle, page.live?.style ?? ""].join("\n");
  const policy = contentSecurityPolicy(scripts, page.live !== undefined);
  const parts = [
    "<!doctype html>",
    '<html lang="en">',
    "<head>",
    '<meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    '<meta name="color-scheme" content="light dark">',
    '<link rel="icon" href="data:,">',
    markupOf(html`<title>${page.title}</title>`),
    `<style>${style}</style>`,
    "</head>",
    "<body>",
    '<p id="script-error" role="alert" hidden></p>',
    markupOf(page.body),
    markupOf(embedJson("report", page.report)),
    markupOf(embedJson("figures", drawings)),
    ...scripts.map((script) => `<script>${checkedScript(script)}</script>`),
    "</body>",
    "</html>",
  ];
  return `${parts.join("\n")}\n`;
}

/**
 * JSON inside a script element that is data, not code. `<` is written as its escape, which JSON
 * reads back as `<`, so that no text can close the element or open a comment.
 */
export function embedJson(id: string, value: unknown): Html {
  const json = JSON.stringify(value).replaceAll("<", "\\u003c");
  return trustedHtml(`<script type="application/json" id="${escapeHtml(id)}">${json}</script>`);
}

function contentSecurityPolicy(scripts: readonly string[], isLive: boolean): string {
  const hashes = scripts.map(
    (script) => `'sha256-${createHash("sha256").update(script).digest("base64")}'`,
  );
  return [
    "default-src 'none'",
    "style-src 'unsafe-inline'",
    `script-src ${hashes.join(" ")}`,
    ...(isLive ? ["connect-src 'self'"] : []),
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
}

/** Our own scripts have none of what an HTML parser would end or change them at. */
function checkedScript(script: string): string {
  assert(!/<\/script|<!--|\r/i.test(script), "an embedded script would be cut by the parser");
  return script;
}
