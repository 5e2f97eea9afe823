/**
 * Figures as data: what to draw is decided here, in typed and tested code; `figures_client.js`
 * only draws it. A figure without a single sample becomes the words "no data" and no plot.
 */

import type { Histogram } from "./histogram.ts";
import { formatCount, formatSignificant, NO_DATA } from "./format_number.ts";
import { html, type Html } from "./html.ts";

/** Names of the style sheet's colours, which follow the light or dark theme. */
export type FigureColor = "blue" | "orange" | "green" | "muted";

type Sample = number | null;

export interface LineSeries {
  readonly name: string;
  readonly color: FigureColor;
  readonly dashed?: boolean;
  readonly values: readonly Sample[];
}

/** Lines over time. All figures over time share their cursor and their zoom. */
export interface LineFigure {
  readonly kind: "lines";
  readonly timeS: readonly number[];
  readonly series: readonly LineSeries[];
  readonly decimals: number;
  /** The y axis spans at least this much, so that noise does not look like an event. */
  readonly spanMin: number;
  readonly isLogarithmic?: boolean;
  /** Nothing is below this, so the y axis is not either. */
  readonly floor?: number;
  /** In a page that lives: the time axis ends now, at 0, and goes back this far. */
  readonly windowS?: number;
}

/** One lane per name, filled while `on` is 1. */
export interface LaneFigure {
  readonly kind: "lanes";
  readonly timeS: readonly number[];
  readonly lanes: readonly {
    readonly name: string;
    readonly color: FigureColor;
    readonly on: readonly Sample[];
  }[];
  readonly words: { readonly on: string; readonly off: string };
}

/** Bars of equal ratio on a logarithmic axis, with named vertical lines. */
export interface HistogramFigure {
  readonly kind: "histogram";
  readonly edges: readonly number[];
  readonly counts: readonly number[];
  readonly unit: string;
  readonly markers: readonly Marker[];
}

export interface Marker {
  readonly name: string;
  readonly at: number;
  readonly color: FigureColor;
}

/** Points over a zero line; figures side by side may share `bound`, the end of the y axis. */
export interface ScatterFigure {
  readonly kind: "scatter";
  /** Ascending. */
  readonly x: readonly number[];
  readonly y: readonly number[];
  readonly bound: number;
  /** x and y of points that stand out, drawn over the others. */
  readonly marked: readonly [readonly number[], readonly number[]];
}

export type FigureData = LineFigure | LaneFigure | HistogramFigure | ScatterFigure;

export interface Figure {
  /** Unique within the page; the id of its element. */
  readonly id: string;
  readonly title: string;
  readonly caption: string;
  readonly heightPx: number;
  /** Null when there is nothing to draw. */
  readonly data: FigureData | null;
  /** What stands in place of the plot then; "no data" unless something better is known. */
  readonly absence?: string;
}

/** A figure's place in the page: title, legend, canvas, caption. */
export function renderFigure(figure: Figure): Html {
  const plot =
    figure.data === null
      ? html`<p class="no-data">${figure.absence ?? NO_DATA}</p>`
      : html`<div
          class="plot"
          id="${figure.id}"
          style="height: ${figure.heightPx}px"
          role="img"
          aria-label="${figure.title}"
        ></div>`;
  const caption = figure.caption === "" ? html`` : html`<p class="caption">${figure.caption}</p>`;
  return html`<figure>
    <figcaption>
      <h3>${figure.title}</h3>
    </figcaption>
    ${plot}${caption}
  </figure>`;
}

/** `LineFigure` of `series`, or null without samples. Arrays shorter than `timeS` leave gaps. */
export function lineFigure(figure: Omit<LineFigure, "kind">): LineFigure | null {
  const series = figure.series.map((line) => ({
    ...line,
    values: figure.timeS.map((_, i) => sample(line.values[i])),
  }));
  if (!series.some((line) => !line.dashed && line.values.some(isSample))) return null;
  return { ...figure, kind: "lines", timeS: figure.timeS.map(round), series };
}

/** `LaneFigure` of booleans per sample and lane, or null without samples. */
export function laneFigure(
  timeS: readonly number[],
  contacts: readonly (readonly boolean[])[],
  lanes: readonly { readonly name: string; readonly color: FigureColor }[],
  words: LaneFigure["words"],
): LaneFigure | null {
  const filled = lanes.map((lane, index) => ({
    ...lane,
    on: timeS.map((_, i): Sample => {
      const contact = contacts[i]?.[index];
      return contact === undefined ? null : Number(contact);
    }),
  }));
  if (!filled.some((lane) => lane.on.some(isSample))) return null;
  return { kind: "lanes", timeS: timeS.map(round), lanes: filled, words };
}

/** `HistogramFigure` of `values`, or null when none is positive; markers need a place there. */
export function histogramFigure(
  histogram: Histogram,
  unit: string,
  markers: readonly Marker[],
): HistogramFigure | null {
  if (histogram.counts.length === 0) return null;
  return {
    kind: "histogram",
    edges: histogram.edges.map(round),
    counts: histogram.counts,
    unit,
    markers: markers.filter(({ at }) => at > 0 && Number.isFinite(at)),
  };
}

/** `ScatterFigure` of points [x, y], or null without any, or where `bound` leaves no height. */
export function scatterFigure(
  points: readonly (readonly [number, number])[],
  marked: readonly (readonly [number, number])[],
  bound: number,
): ScatterFigure | null {
  if (points.length === 0 || !(bound > 0)) return null;
  const axes = (of: typeof points) =>
    [of.map(([x]) => round(x)), of.map(([, y]) => round(y))] as const;
  const [x, y] = axes(points.toSorted(([one], [other]) => one - other));
  return { kind: "scatter", x, y, bound: round(bound), marked: axes(marked) };
}

/** Says how many values a histogram shows, and which it cannot. */
export function histogramCaption(histogram: Histogram, noun: string): string {
  const { counts, zeros, rejected } = histogram;
  const total = counts.reduce((sum, count) => sum + count, zeros + rejected);
  if (total === 0) return "";
  const parts = [formatCount(total, noun), "logarithmic axis"];
  if (zeros > 0) parts.push(`${zeros} exactly 0, not shown`);
  if (rejected > 0) parts.push(`${rejected} negative or not finite, not shown`);
  return parts.join(", ");
}

/** A marker whose name carries its value: `p99 24.1 µs`. */
export function marker(name: string, at: number, unit: string, color: FigureColor): Marker {
  return { name: `${name} ${formatSignificant(at, unit)}`, at, color };
}

function sample(value: Sample | undefined): Sample {
  return typeof value === "number" && Number.isFinite(value) ? round(value) : null;
}

function isSample(value: Sample): boolean {
  return value !== null;
}

/** Six digits are more than a screen shows, and a third of the bytes. */
function round(value: number): number {
  return Number(value.toPrecision(6));
}
