/**
 * The live page of a service: how fast it answers, how much, what the policy sees and does, and
 * what went wrong. This is its skeleton, made for the policy's terms; `live_client.js` fills it
 * from `status.json`. It fetches nothing else, so it works without a network.
 */

import { type Figure, type FigureColor, renderFigure } from "../../report/figure.ts";
import { html, type Html } from "../../report/html.ts";
import { renderPage } from "../../report/page.ts";
import { PLOT_CREDIT } from "../../report/page_parts.ts";
import type { ServiceView } from "../view.ts";
import liveScript from "./live_client.js" with { type: "text" };
import liveStyle from "./live.css" with { type: "text" };
import { COUNTER_HELP } from "./metrics.ts";
import { layoutOf } from "./status.ts";

const POLL_MS = 500;
/** Minutes enough to see what led to a fault, and little enough for a page that stays open. */
const WINDOW_S = 180;
/** Actions of one plot: a leg's joints. */
const ACTIONS_PER_PLOT = 3;
const COLORS: readonly FigureColor[] = ["blue", "orange", "green"];

export function renderLivePage(view: ServiceView): string {
  const { key, observations, actions } = layoutOf(view, view.snapshot());
  const plots = [
    linePlot("latency", "Latency, µs", ["p50", "p99", "longest", "inference p50"], {
      caption: "From a request read to its answer sent, of each half second; buckets of 21 %.",
      decimals: 1,
      isLogarithmic: true,
    }),
    linePlot("rate", "Requests per second", ["answered", "not answered"], {
      decimals: 0,
      floor: 0,
    }),
  ];
  const joints = actionPlots(actions);
  const body = html`${header(view)}
    <main>
      <h2>Requests</h2>
      ${plots.map(renderFigure)} ${actions.length === 0 ? html`` : actionTerms(joints)}
      ${observations.length === 0 ? html`` : observationTerms(observations)}
      <h2>Counts</h2>
      <p class="lead">Since the service began, over all of its engines.</p>
      <dl class="counts">${counts()}</dl>
      <h2>Events</h2>
      <table class="rows events">
        <tbody id="events"></tbody>
      </table>
      <p class="no-data" id="no-events">no events</p>
    </main>
    <footer>
      <p>
        Keeps ${WINDOW_S / 60} minutes, in this page alone. For Prometheus: <code>metrics</code>;
        for supervision: <code>healthz</code> and <code>readyz</code>. ${PLOT_CREDIT}
      </p>
    </footer>`;
  return renderPage({
    title: "lite3rl serve",
    body,
    figures: [...plots, ...joints],
    report: { layout: key, pollMs: POLL_MS, windowS: WINDOW_S },
    live: { style: liveStyle, script: liveScript },
  });
}

function header({ version, startedMs }: ServiceView): Html {
  const since = new Date(startedMs).toISOString();
  return html`<header>
    <p class="byline">
      <span id="state" class="verdict">waiting</span>
      <span>lite3rl ${version} serve</span>
      <time datetime="${since}">since ${since.slice(0, 16).replace("T", " ")} UTC</time>
    </p>
    <h1 id="headline">Waiting for the first answer</h1>
    <noscript><p class="failure bad">This page needs JavaScript; see metrics.</p></noscript>
    <p class="failure bad" id="lost" role="alert" hidden></p>
    <p class="ran-on"><strong id="evidence"></strong> <span id="model">No model is open.</span></p>
    <dl class="key-figures">
      ${[
        tile("Requests per second", "rate"),
        tile("Latency, p99", "latency"),
        tile("Clients", "clients"),
        tile("Engine deaths", "deaths"),
        tile("Memory", "memory"),
      ]}
    </dl>
  </header>`;
}

function tile(name: string, id: string): Html {
  return html`<div>
    <dt>${name}</dt>
    <dd id="tile-${id}">–</dd>
    <dd id="tile-${id}-detail"></dd>
  </div>`;
}

interface LinePlot {
  readonly decimals: number;
  readonly caption?: string;
  readonly isLogarithmic?: boolean;
  readonly floor?: number;
  readonly heightPx?: number;
}

function linePlot(id: string, title: string, names: readonly string[], plot: LinePlot): Figure {
  const { caption = "", heightPx = 200, ...scale } = plot;
  const series = names.map((name, i) => ({
    name,
    color: COLORS[i] ?? ("muted" as const),
    dashed: i >= COLORS.length,
    values: [null, null],
  }));
  const timeS = [-WINDOW_S, 0];
  const lines = { timeS, series, ...scale, spanMin: 0.1, windowS: WINDOW_S };
  return { id, title, caption, heightPx, data: { kind: "lines", ...lines } };
}

/** One plot a leg, named by what its joints' names begin with: `FL` of `FL_HipX`. */
function actionPlots(names: readonly string[]): Figure[] {
  const count = Math.ceil(names.length / ACTIONS_PER_PLOT);
  return Array.from({ length: count }, (_, at) => {
    const group = names.slice(at * ACTIONS_PER_PLOT, (at + 1) * ACTIONS_PER_PLOT);
    const prefix = /^[A-Za-z]+_/.exec(group[0] ?? "")?.[0] ?? "";
    const isLeg = prefix !== "" && group.every((name) => name.startsWith(prefix));
    return linePlot(
      `action-${at}`,
      isLeg ? prefix.slice(0, -1) : "",
      isLeg ? group.map((name) => name.slice(prefix.length)) : group,
      { decimals: 2, heightPx: 130 },
    );
  });
}

function actionTerms(joints: readonly Figure[]): Html {
  return html`<h2>Actions</h2>
    <p class="lead">Of the last request, twice a second.</p>
    <div class="pair">${joints.map(renderFigure)}</div>`;
}

function observationTerms(names: readonly string[]): Html {
  return html`<h2>Observations</h2>
    <p class="lead">
      Of the last request; each bar by the largest value of its term that this page has seen. What
      lies outside the calibration set is counted, where <code>--calibration</code> names one.
    </p>
    <ul class="terms">
      ${names.map(
        (name, i) =>
          html`<li id="term-${i}">
            <span>${name}</span><span class="number"></span><span class="meter"><i></i></span>
            <span class="outside bad" hidden></span>
          </li>`,
      )}
    </ul>`;
}

function counts(): Html[] {
  return Object.entries(COUNTER_HELP).map(
    ([counter, [, help]]) =>
      html`<div>
        <dt>${help}</dt>
        <dd class="number" id="count-${counter}">0</dd>
      </div>`,
  );
}
