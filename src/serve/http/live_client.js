/**
 * Fills the live page from `status.json`, again and again, and says so when no answer comes. It
 * runs after `figures_client.js`, whose plots and helpers it uses. Text is set as text, never as
 * markup. `<html data-answers>` counts the answers, `data-lost` those that did not come in a row.
 */

"use strict";

/* global plots, figures, root, short */

/** An answer takes a millisecond; what takes this long is no live service. */
const ANSWER_TIMEOUT_MS = 3000;
const MIB = 1 << 20;
const EVIDENCE = { npu: "Runs on the NPU.", unstated: "Not stated to run on the NPU." };

let settings;
/** One point an answer: when, and the values of each figure; gaps are null. */
let points = [];
let last;
let answers = 0;
let failures = 0;
let lastAnswerAt = "";
/** Largest |value| of each observation term. */
const largest = [];

addEventListener("DOMContentLoaded", () => {
  settings = JSON.parse(byId("report").textContent);
  void poll();
});

async function poll() {
  let status;
  try {
    const signal = AbortSignal.timeout(ANSWER_TIMEOUT_MS);
    const response = await fetch("status.json", { cache: "no-store", signal });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    status = await response.json();
  } catch (error) {
    showLost(error);
  }
  if (status) show(status);
  drawPoints();
  setTimeout(poll, settings.pollMs);
}

/** Old figures stay, greyed: they are the last that is known. */
function showLost(error) {
  failures++;
  root.dataset.lost = String(failures);
  root.classList.add("is-lost");
  const since = lastAnswerAt ? `since ${lastAnswerAt}` : "yet";
  byId("lost").hidden = false;
  setText("lost", `No answer from the service ${since} (${error.message}); asking again`);
  setState(false, "unreachable");
  last = undefined;
  addPoint({});
}

function show(status) {
  if (status.layout !== null && status.layout !== settings.layout) {
    location.reload();
    return;
  }
  answers++;
  failures = 0;
  lastAnswerAt = new Date().toLocaleTimeString();
  root.dataset.answers = String(answers);
  delete root.dataset.lost;
  root.classList.remove("is-lost");
  byId("lost").hidden = true;
  const change = changeSince(last, status);
  last = status;
  addPoint({
    latency: [change.p50, change.p99, change.longest, change.inferenceP50],
    rate: [change.answered, change.notAnswered],
    ...actionValues(status.action),
  });
  showHeader(status, change);
  showObservation(status);
  for (const [name, count] of Object.entries(status.totals)) {
    setText(`count-${name}`, count.toLocaleString("en"));
  }
  showEvents(status.events);
}

/** What happened between two answers; null where nothing did, or the first is missing. */
function changeSince(before, status) {
  const seconds = before ? (status.atMs - before.atMs) / 1000 : 0;
  const rate = (name) =>
    seconds > 0 ? Math.max(0, status.totals[name] - before.totals[name]) / seconds : null;
  const counts = (name) => added(before?.[name], status[name]);
  const service = counts("service");
  const quantile = (histogram, q) => quantileOf(histogram, status.boundsUs, q);
  const refused = ["badInput", "deadlineMissed", "busy", "failed"].map(rate);
  return {
    p50: quantile(service, 0.5),
    p99: quantile(service, 0.99),
    longest: quantile(service, 1),
    inferenceP50: quantile(counts("inference"), 0.5),
    answered: rate("answered"),
    notAnswered: refused.includes(null) ? null : refused.reduce((sum, value) => sum + value),
  };
}

/** Counts of the new requests; those of a new service all are. Null without two answers. */
function added(before, now) {
  if (!before || !now) return null;
  const difference = now.map((count, i) => count - before[i]);
  return difference.some((count) => count < 0) ? now : difference;
}

/** By linear interpolation in the bucket, as Prometheus does; null where nothing was counted. */
function quantileOf(counts, bounds, q) {
  const total = counts?.reduce((sum, count) => sum + count, 0) ?? 0;
  if (total === 0) return null;
  let below = 0;
  for (const [i, count] of counts.entries()) {
    if (count > 0 && below + count >= q * total) {
      const lower = i === 0 ? 0 : bounds[i - 1];
      const upper = bounds[i] ?? lower;
      return lower + ((upper - lower) * (q * total - below)) / count;
    }
    below += count;
  }
  return bounds.at(-1);
}

function actionValues(action) {
  const groups = figures.filter(({ id }) => id.startsWith("action-"));
  let at = 0;
  return Object.fromEntries(
    groups.map(({ id, series }) => [id, action.slice(at, (at += series.length))]),
  );
}

function addPoint(values) {
  const atS = performance.now() / 1000;
  points.push({ atS, values });
  points = points.filter((point) => point.atS >= atS - settings.windowS);
}

function drawPoints() {
  const nowS = points.at(-1).atS;
  const timeS = points.map(({ atS }) => atS - nowS);
  figures.forEach((figure, at) => {
    const lines = figure.series.map((_, line) =>
      points.map(({ values }) => values[figure.id]?.[line] ?? null),
    );
    const plot = plots[at];
    plot.setData([timeS, ...lines]);
    const isPointedAt = plot.cursor.left >= 0;
    if (!isPointedAt) plot.setLegend({ idx: timeS.length - 1 });
  });
}

function showHeader(status, change) {
  const { ready, why, model, engine, deaths, totals } = status;
  setState(ready, ready ? "✓ Ready" : "✕ Not ready");
  const name = model ? model.file.split("/").at(-1) : "no model";
  const rate = change.answered === null ? "–" : short(change.answered);
  setText("headline", ready ? `${name} answers ${rate} requests/s` : `Not ready: ${why ?? name}`);
  document.title = `${ready ? "" : "✕ "}${name} · lite3rl serve`;
  if (model) {
    setText("evidence", EVIDENCE[model.evidence] ?? "Does not run on the NPU.");
    const version = model.version ? `, version ${model.version}` : "";
    setText(
      "model",
      `${model.file}${version}, generation ${model.generation}, backend ${model.backend} ` +
        `(${model.evidence}), SHA-256 ${model.sha256.slice(0, 12)}`,
    );
  }
  const troubles = totals.requests - totals.answered;
  setTile("rate", rate, `${troubles.toLocaleString("en")} not answered in all`);
  setTile("latency", us(change.p99), `p50 ${us(change.p50)}, longest ${us(change.longest)}`);
  setTile(
    "clients",
    String(engine?.openConnections ?? 0),
    `${totals.connectionsRefused + totals.credentialsRefused} refused in all`,
  );
  setTile(
    "deaths",
    String(deaths.crash + deaths.hang + deaths.nonFinite + deaths.failed),
    `${deaths.crash} crashed, ${deaths.hang} hung, ${deaths.nonFinite} not finite, ` +
      `${deaths.failed} failed; ` +
      `${status.restarts} restarts, ${status.swaps} swaps`,
  );
  const { engineRssBytes, supervisorRssBytes } = status;
  setTile(
    "memory",
    `${Math.round((engineRssBytes + supervisorRssBytes) / MIB)} MiB`,
    `engine ${Math.round(engineRssBytes / MIB)}, supervisor ${Math.round(supervisorRssBytes / MIB)}`,
  );
}

function us(value) {
  return value === null ? "–" : `${short(value)} µs`;
}

function showObservation({ observation, outside }) {
  observation.forEach((value, i) => {
    const row = byId(`term-${i}`);
    const [, number, meter, mark] = row.children;
    largest[i] = Math.max(largest[i] ?? 0, Math.abs(value ?? 0));
    const half = largest[i] > 0 ? (50 * (value ?? 0)) / largest[i] : 0;
    number.textContent = value === null ? "not finite" : value.toFixed(3);
    meter.firstChild.style.left = `${Math.min(50, 50 + half)}%`;
    meter.firstChild.style.width = `${Math.abs(half)}%`;
    mark.hidden = !(outside[i] > 0);
    mark.textContent = `${(outside[i] ?? 0).toLocaleString("en")} outside`;
  });
}

function showEvents(events) {
  const body = byId("events");
  const key = JSON.stringify(events[0] ?? null) + events.length;
  if (body.dataset.key === key) return;
  body.dataset.key = key;
  byId("no-events").hidden = events.length > 0;
  body.replaceChildren(...events.map(eventRow));
}

function eventRow({ at, level, name, message }) {
  const row = document.createElement("tr");
  const time = new Date(at).toLocaleTimeString();
  [time, name, message].forEach((text) => (row.insertCell().textContent = text));
  row.cells[0].title = at;
  if (level !== "info") row.cells[1].className = "bad";
  return row;
}

function setState(isGood, text) {
  setText("state", text);
  byId("state").className = `verdict ${isGood ? "good" : "bad"}`;
}

function setTile(id, value, detail) {
  setText(`tile-${id}`, value);
  setText(`tile-${id}-detail`, detail);
}

/** Only what changes, so that a selection in the page lives on. */
function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function byId(id) {
  return document.getElementById(id);
}
