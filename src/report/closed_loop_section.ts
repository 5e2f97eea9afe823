/**
 * The closed loop of a parity page: each figure with its interval against its margin, and every
 * pair of episodes.
 */

import { type ClosedLoopFigure, closedLoopSentence } from "./closed_loop_document.ts";
import { type Figure, renderFigure, scatterFigure } from "./figure.ts";
import { formatCount, formatSignificant } from "./format_number.ts";
import { html, type Html } from "./html.ts";
import { mark } from "./page_parts.ts";
import type { ParityComparison } from "./parity_document.ts";

type Loop = NonNullable<ParityComparison["closedLoop"]>;

/** Nothing where no closed loop was asked for. */
export function closedLoopSection(
  { closedLoop }: ParityComparison,
  panels: readonly Figure[],
): Html {
  if (closedLoop === undefined) return html``;
  const { verdict, episodes, durationS, environment, seed, method, level } = closedLoop;
  const ok = verdict === "walks as well";
  const fallen = closedLoop.runs.flatMap(({ a, b }, episode) => [
    ...endingOf("a", episode, a.ending),
    ...endingOf("b", episode, b.ending),
  ]);
  return html`<h2>Closed loop</h2>
    <p class="lead">
      ${mark(ok, ok ? "✓" : "✕", "", ok ? "passed" : "failed")}
      <strong>${closedLoopSentence(closedLoop)}</strong>: ${formatCount(episodes, "pair")} of
      episodes of ${durationS} s in ${environment}, the same commands, pushes and ground for both
      (seed ${seed}). Intervals of ${level * 100} %: ${method}.
    </p>
    ${figureTable(closedLoop)}
    ${
      fallen.length === 0
        ? ""
        : html`<details>
            <summary>${formatCount(fallen.length, "fall")}</summary>
            <ul class="notes">
              ${fallen.map((line) => html`<li>${line}</li>`)}
            </ul>
          </details>`
    }
    <p class="lead">
      Each point is a pair of episodes: the figure of a, and what b adds to it. Pairs in which one
      side fell are orange; intervals that end beyond the scale are cut there.
    </p>
    <div class="panels">${panels.map(renderFigure)}</div>`;
}

const endingOf = (side: string, episode: number, ending: string | null): string[] =>
  ending === null ? [] : [`Episode ${episode}, ${side}: ${ending}`];

/** The intervals are drawn in margins: 0 is a's own gait, 1 the most that may be worse. */
function figureTable({ figures, level }: Loop): Html {
  const reach = reachOf(figures);
  const number = (value: number | null | undefined, extra = "") =>
    html`<td class="number${extra}">
      ${value === null || value === undefined ? "" : formatSignificant(value)}
    </td>`;
  return html`<table class="rows intervals">
    <thead>
      <tr>
        <th></th>
        <th>Figure</th>
        <th class="number secondary">a</th>
        <th class="number secondary">b</th>
        <th class="number">b is worse by</th>
        <th class="number secondary">${level * 100} % interval</th>
        <th class="number secondary">Margin</th>
        <th>Interval; dashed: the margin</th>
      </tr>
    </thead>
    <tbody>
      ${figures.map(
        (figure) =>
          html`<tr>
            <td>${verdictMark(figure)}</td>
            <td>${figure.name}</td>
            ${number(figure.a, " secondary")}${number(figure.b, " secondary")}
            ${number(figure.worsening?.mean)}
            <td class="number secondary">${intervalText(figure)}</td>
            ${number(figure.margin, " secondary")}
            <td>${intervalBar(figure, reach)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

function verdictMark({ verdict }: Pick<ClosedLoopFigure, "verdict">): Html {
  const signs = { "as well": "✓", worse: "✕", "not shown": "?" } as const;
  return mark(verdict === "as well", signs[verdict], "", verdict);
}

function intervalText({ worsening }: Pick<ClosedLoopFigure, "worsening">): string {
  if (worsening === null) return "";
  return `${formatSignificant(worsening.low)} to ${formatSignificant(worsening.high)}`;
}

/** What the scale reaches, in margins to both sides; a far worse figure is cut at its end. */
const REACH_MAX = 4;

function reachOf(figures: Loop["figures"]): number {
  const ends = figures.flatMap(({ worsening, margin }) =>
    worsening === null ? [] : [Math.abs(worsening.low / margin), Math.abs(worsening.high / margin)],
  );
  return Math.min(REACH_MAX, Math.max(1.25, ...ends.filter(Number.isFinite)));
}

/** A dot with its interval, on a scale from −reach to reach margins. */
function intervalBar({ worsening, margin, verdict }: Loop["figures"][number], reach: number): Html {
  if (worsening === null || margin === 0) return html``;
  const place = (value: number): number => {
    const inMargins = Math.min(reach, Math.max(-reach, value / margin));
    return Number((((inMargins + reach) / (2 * reach)) * 100).toFixed(2));
  };
  const [low, mean, high] = [worsening.low, worsening.mean, worsening.high].map(place) as [
    number,
    number,
    number,
  ];
  const kind = verdict === "as well" ? "good" : "bad";
  return html`<span class="interval ${kind}"
    ><i class="zero" style="left: 50%"></i><i class="margin" style="left: ${place(margin)}%"></i
    ><i class="range" style="left: ${low}%; width: ${Number((high - low).toFixed(2))}%"></i
    ><i class="dot" style="left: ${mean}%"></i
  ></span>`;
}

/** One panel per figure; falls are 0 or 1 and told by the table. */
export function pairPanels(id: string, { closedLoop }: ParityComparison): Figure[] {
  if (closedLoop === undefined) return [];
  const { figures, runs } = closedLoop;
  return figures
    .filter(({ name }) => name !== "falls")
    .map(({ name, unit }, at) => {
      const pairs = runs.flatMap(({ a, b }) => {
        const [x, y] = [a.figures[name], b.figures[name]];
        if (typeof x !== "number" || typeof y !== "number") return [];
        return [{ point: [x, y - x] as [number, number], fell: (a.ending ?? b.ending) !== null }];
      });
      const points = (fell: boolean) =>
        pairs.filter((pair) => pair.fell === fell).map(({ point }) => point);
      const bound = Math.max(0, ...pairs.map(({ point: [, y] }) => Math.abs(y)));
      const all = pairs.map(({ point }) => point);
      return {
        id: `${id}-walk-${at}`,
        title: unit === "" ? name : `${name}, ${unit}`,
        caption: "",
        heightPx: 150,
        data: scatterFigure(all, points(true), bound),
        ...(all.length > 0 && bound === 0 ? { absence: "no difference" } : {}),
      };
    });
}
