/**
 * Draws the figures of a report in the reader's browser. It is embedded in the page as text, so
 * it is plain JavaScript: the data comes from `<script id="figures">`, the library is uPlot.
 *
 * When every canvas has ink, `<html data-plots>` holds their number; an error is shown in the
 * page and in `<html data-error>`. Colours are read from the style sheet when drawing, and
 * plots are redrawn when the theme changes or the page is printed.
 */

"use strict";

/* global uPlot */

const root = document.documentElement;
const darkTheme = matchMedia("(prefers-color-scheme: dark)");
const FONT = "12px system-ui, sans-serif";
const AXIS_WIDTH = 52;
const MARKER_HEIGHT = 16;

let figures = [];
let plots = [];
const drawn = new Set();

addEventListener("error", (event) => showError(event.message));
addEventListener("unhandledrejection", (event) => showError(String(event.reason)));
addEventListener("DOMContentLoaded", () => {
  figures = JSON.parse(document.getElementById("figures").textContent);
  if (figures.length === 0) root.dataset.plots = "0";
  plots = figures.map(draw);
});
addEventListener("resize", fitAll);
darkTheme.addEventListener("change", redrawAll);
addEventListener("beforeprint", () => printing(true));
addEventListener("afterprint", () => printing(false));

function showError(text) {
  root.dataset.error = text;
  const box = document.getElementById("script-error");
  box.textContent = `The plots of this page could not be drawn: ${text}`;
  box.hidden = false;
}

/** Paper is white: the style sheet drops the dark theme, and the plots follow it. */
function printing(isPrinting) {
  root.toggleAttribute("data-printing", isPrinting);
  redrawAll();
}

/** Onto the same canvases: new ones would not be painted any more before a page is printed. */
function redrawAll() {
  for (const plot of plots) plot.redraw(false);
}

function fitAll() {
  for (const plot of plots) plot.setSize(sizeOf(plot.root.parentElement));
}

function sizeOf(host) {
  return { width: host.clientWidth, height: host.clientHeight };
}

function draw(figure) {
  const host = document.getElementById(figure.id);
  const kinds = {
    lines: lineOptions,
    lanes: laneOptions,
    histogram: histogramOptions,
    scatter: scatterOptions,
  };
  const { data, paint, ...options } = kinds[figure.kind](figure);
  const clearLegend = () => {
    const cells = document.querySelectorAll(`#${figure.id}-legend .u-value`);
    for (const cell of cells) cell.firstChild.nodeValue = "";
  };
  const hooks = {
    ready: [clearLegend],
    draw: [(plot) => paint && clipped(plot, paint), (plot) => countDrawn(figure.id, plot)],
  };
  return new uPlot(
    { ...sizeOf(host), legend: legendOf(figure, host), ...options, hooks },
    data,
    host,
  );
}

/** A plot counts only once its canvas holds something to see. */
function countDrawn(id, plot) {
  if (drawn.has(id)) return;
  const { width, height } = plot.ctx.canvas;
  const pixels = plot.ctx.getImageData(0, 0, width, height).data;
  if (!pixels.some((byte) => byte !== 0)) throw new Error(`the canvas of "${id}" stayed empty`);
  drawn.add(id);
  if (drawn.size === figures.length) root.dataset.plots = String(drawn.size);
}

/** Lines: measured solid, commanded dashed. */
function lineOptions(figure) {
  const format = (_, value) => (value === null ? "" : value.toFixed(figure.decimals));
  const series = figure.series.map((line) => ({
    label: line.name,
    ...tint(line.color),
    width: 1.5,
    dash: line.dashed ? [6, 4] : undefined,
    points: { show: false },
    value: format,
  }));
  const { windowS, isLogarithmic, spanMin, floor = -Infinity } = figure;
  const x = windowS ? { range: [-windowS, 0] } : {};
  const y = isLogarithmic
    ? { distr: 3, range: (_, low, high) => wholeDecades(low, high) }
    : { range: (_, low, high) => span(low, high, spanMin, floor) };
  const ticks = {
    splits: (plot, _, low, high) => logTicks([low, high], 2 * plot.height),
    filter: (_, all) => all,
    values: (_, splits) => splits.map((value) => short(value)),
  };
  return {
    data: [figure.timeS, ...figure.series.map((line) => line.values)],
    series: [{ ...timeSeries(), ...(windowS ? { value: ago } : {}) }, ...series],
    scales: { x: { time: false, ...x }, y },
    axes: [timeAxis(), { ...valueAxis(), ...(isLogarithmic ? ticks : {}) }],
    cursor: { ...timeCursor(), ...(windowS ? { drag: { x: false, y: false } } : {}) },
  };
}

/** A time in a live plot; nothing for the last point, whose values stand there unasked. */
function ago(_, value) {
  return value ? `${value.toFixed(1)} s` : "";
}

/** From a power of ten to another, so that the axis of a live plot stays where it is. */
function wholeDecades(low, high) {
  if (low === null) return [1, 1000];
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  return [10 ** first, 10 ** Math.max(last, first + 1)];
}

/** At least `spanMin` high, with a twelfth of air above and below. */
function span(low, high, spanMin, floor) {
  if (low === null) return [0, spanMin];
  const air = Math.max((high - low) / 12, (spanMin - (high - low)) / 2);
  return [Math.max(low - air, floor), high + air];
}

/** Lanes: blocks from the sample that turns one on to the sample that turns it off. */
function laneOptions(figure) {
  const { timeS, lanes, words } = figure;
  const format = (_, value) => (value === null ? "" : value === 1 ? words.on : words.off);
  const laneSeries = lanes.map((lane) => ({
    label: lane.name,
    ...tint(lane.color),
    paths: () => null,
    points: { show: false },
    value: format,
  }));
  const centers = lanes.map((_, row) => lanes.length - row - 0.5);
  const names = { splits: () => centers, values: () => lanes.map((lane) => lane.name) };
  return {
    data: [timeS, ...lanes.map((lane) => lane.on)],
    series: [timeSeries(), ...laneSeries],
    scales: { x: { time: false }, y: { range: [0, lanes.length] } },
    axes: [timeAxis(), { ...valueAxis(), ...names, grid: { show: false } }],
    cursor: { ...timeCursor(), points: { show: false } },
    paint: (plot) => lanes.forEach((lane, row) => paintLane(plot, lane, row, centers[row])),
  };
}

function paintLane(plot, lane, row, center) {
  if (!plot.series[row + 1].show) return;
  const timeS = plot.data[0];
  const top = plot.valToPos(center + 0.34, "y", true);
  const height = plot.valToPos(center - 0.34, "y", true) - top;
  plot.ctx.fillStyle = color(lane.color)();
  for (let at = 0; at < timeS.length; at++) {
    if (lane.on[at] !== 1) continue;
    const from = at;
    while (at + 1 < timeS.length && lane.on[at + 1] === 1) at++;
    const left = plot.valToPos(timeS[from], "x", true);
    const right = plot.valToPos(timeS[Math.min(at + 1, timeS.length - 1)], "x", true);
    plot.ctx.fillRect(left, top, Math.max(right - left, 1), height);
  }
}

/** Bars on a logarithmic axis, wide enough for every marker, and the markers over them. */
function histogramOptions(figure) {
  const { edges, counts, unit, markers } = figure;
  const places = [...edges, ...markers.map((marker) => marker.at)];
  const air = (Math.max(...places) / Math.min(...places)) ** 0.03;
  const range = [Math.min(...places) / air, Math.max(...places) * air];
  const bin = (_, __, ___, at) =>
    at === null ? "" : `${short(edges[at])} to ${short(edges[at + 1])} ${unit}`.trim();
  const bars = {
    label: "count",
    ...tint("blue"),
    paths: () => null,
    points: { show: false },
    value: (_, count) => count ?? "",
  };
  const ticks = {
    splits: (plot) => logTicks(range, plot.width - AXIS_WIDTH),
    filter: (_, all) => all,
  };
  const labels = { values: (_, splits) => splits.map((value) => short(value)) };
  return {
    data: [counts.map((_, at) => Math.sqrt(edges[at] * edges[at + 1])), counts],
    series: [{ label: "bin", value: bin }, bars],
    scales: {
      x: { time: false, distr: 3, range },
      y: { range: (_, __, most) => [0, most * 1.06] },
    },
    axes: [
      { ...axis(), ...ticks, ...labels },
      {
        ...valueAxis(),
        values: (_, splits) => splits.map((n) => (n < 1e4 ? n : `${n / 1e3}k`)),
        incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6],
      },
    ],
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
    padding: [MARKER_HEIGHT * markers.length + 4, 12, 0, 0],
    paint: (plot) => {
      paintBars(plot, edges, counts);
      markers.forEach((marker, row) => paintMarker(plot, marker, row));
    },
  };
}

/** A single sample among thousands still gets two pixels. */
function paintBars(plot, edges, counts) {
  if (!plot.series[1].show) return;
  const floor = plot.valToPos(0, "y", true);
  plot.ctx.fillStyle = color("blue")();
  counts.forEach((count, at) => {
    if (count === 0) return;
    const left = plot.valToPos(edges[at], "x", true);
    const width = plot.valToPos(edges[at + 1], "x", true) - left;
    const height = Math.max(floor - plot.valToPos(count, "y", true), 2 * devicePixelRatio);
    plot.ctx.fillRect(left, floor - height, Math.max(width - devicePixelRatio, 1), height);
  });
}

/** Small translucent points, so that a crowd is darker; those that stand out are larger. */
function scatterOptions({ x, y, bound, marked }) {
  const values = (_, splits) => splits.map((value) => short(value));
  return {
    data: [x, y],
    legend: { show: false },
    series: [{}, { paths: () => null, points: { show: false } }],
    scales: {
      x: { time: false, range: (_, low, high) => span(low, high, 1e-6, -Infinity) },
      y: { range: [-1.08 * bound, 1.08 * bound] },
    },
    axes: [
      { ...axis(), values, space: 48 },
      { ...valueAxis(), values },
    ],
    cursor: { show: false },
    padding: [4, 12, 0, 0],
    paint: (plot) => {
      paintPoints(plot, "blue", 0.45, 3, [x, y]);
      paintPoints(plot, "orange", 1, 5, marked);
    },
  };
}

function paintPoints(plot, name, alpha, sizePx, [x, y]) {
  const size = sizePx * devicePixelRatio;
  plot.ctx.fillStyle = color(name)();
  plot.ctx.globalAlpha = alpha;
  x.forEach((at, i) => {
    const [left, top] = [plot.valToPos(at, "x", true), plot.valToPos(y[i], "y", true)];
    plot.ctx.fillRect(left - size / 2, top - size / 2, size, size);
  });
  plot.ctx.globalAlpha = 1;
}

/** A vertical line with its name in a row of its own above the bars, so that none overlap. */
function paintMarker(plot, marker, row) {
  const { ctx, bbox } = plot;
  const x = plot.valToPos(marker.at, "x", true);
  const y = (row * MARKER_HEIGHT + 2) * devicePixelRatio;
  ctx.strokeStyle = ctx.fillStyle = color(marker.color)();
  ctx.lineWidth = 1.5 * devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `600 ${12 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textBaseline = "top";
  const gap = 5 * devicePixelRatio;
  const fits = x + gap + ctx.measureText(marker.name).width < bbox.left + bbox.width;
  ctx.textAlign = fits ? "left" : "right";
  ctx.strokeStyle = color("card")();
  ctx.lineWidth = 4 * devicePixelRatio;
  ctx.strokeText(marker.name, fits ? x + gap : x - gap, y);
  ctx.fillText(marker.name, fits ? x + gap : x - gap, y);
}

/** 1, 2, 5, 10, … or as few of them as there is room for; plain steps within less than that. */
function logTicks([low, high], widthPx) {
  const ticksMax = Math.max(2, widthPx / 56);
  for (const mantissas of [[1, 2, 5], [1, 3], [1]]) {
    const ticks = decades(low, high, 1).flatMap((power) => mantissas.map((m) => m * power));
    const inside = ticks.filter((tick) => tick >= low && tick <= high);
    if (inside.length <= ticksMax && inside.length >= 3) return inside;
    if (inside.length < 3) return evenTicks(low, high, Math.min(5, ticksMax));
  }
  const every = Math.ceil(Math.log10(high / low) / ticksMax);
  return decades(low, high, every).filter((tick) => tick >= low && tick <= high);
}

function decades(low, high, every) {
  const first = Math.floor(Math.log10(low));
  const count = Math.floor((Math.log10(high) - first) / every) + 1;
  return Array.from({ length: count }, (_, i) => Number(`1e${first + i * every}`));
}

function evenTicks(low, high, ticksMax) {
  const rough = (high - low) / ticksMax;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((m) => m * power >= rough) ?? 10);
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

function short(value) {
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 0.01 || magnitude >= 1e5)) {
    return value.toExponential(1).replace(".0e", "e");
  }
  return String(Number(value.toPrecision(3)));
}

/** Resolved when used, not when named: the theme may have changed in between. */
function color(name) {
  return () => getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

/** A series' colour: `stroke` for the canvas, `css` for its legend and cursor, which are HTML. */
function tint(name) {
  return { stroke: color(name), css: `var(--${name})` };
}

function cssOf(plot, at) {
  return plot.series[at].css;
}

function axis() {
  const grid = { stroke: color("grid"), width: 1 };
  return { stroke: color("muted"), font: FONT, grid, ticks: { show: false }, gap: 6, size: 26 };
}

function timeAxis() {
  return { ...axis(), values: (_, splits) => splits.map((value) => `${short(value)} s`) };
}

function valueAxis() {
  return { ...axis(), size: AXIS_WIDTH, space: 22 };
}

function timeSeries() {
  return { label: "t", value: (_, value) => (value === null ? "" : `${value.toFixed(2)} s`) };
}

/** One cursor and one zoom for all figures over time. */
function timeCursor() {
  return {
    y: false,
    points: { size: 6, fill: cssOf },
    sync: { key: "time" },
    drag: { x: true, y: false },
  };
}

/** The legend shares the line of the title; its values follow the cursor. */
function legendOf(figure, host) {
  const mount = (_, table) => {
    table.id = `${figure.id}-legend`;
    host.parentElement.querySelector("figcaption").append(table);
  };
  return { mount, markers: { width: 2, dash: dashOf, stroke: cssOf } };
}

function dashOf(plot, at) {
  return plot.series[at].dash ? "dashed" : "solid";
}

/** Paints in the plot's own area and the padding above it, never beside it. */
function clipped(plot, paint) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
  ctx.clip();
  paint(plot);
  ctx.restore();
}
