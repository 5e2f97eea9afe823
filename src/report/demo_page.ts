/**
 * The result page of `lite3rl demo`: one HTML file for engineers and their team lead. The verdict
 * comes first, then what it ran on, since a figure means nothing without its evidence; stages,
 * plots and notes follow. Without samples a plot says so.
 */

import { errorFigure, latencyFigure, walkFigures } from "./demo_figures.ts";
import { renderFigure } from "./figure.ts";
import { formatCount, formatDuration, formatFixed, formatSignificant } from "./format_number.ts";
import { html, type Html } from "./html.ts";
import { footer, mark, readableTime, tile } from "./page_parts.ts";
import { renderPage } from "./page.ts";

export interface DemoReport {
  /** Version of lite3rl. */
  readonly version: string;
  /** ISO 8601. */
  readonly startedAt: string;
  /** For example `x64, 2 cores, Linux 6.1, Bun 1.4.5`. */
  readonly machine: string;
  readonly ok: boolean;
  readonly stages: readonly DemoStage[];
  readonly walk: {
    readonly walkedM: number;
    readonly falls: number;
    /** vx, vy (m/s), wz (rad/s). */
    readonly command: readonly [number, number, number];
    readonly overruns: number;
    readonly rateHz: number;
    readonly durationS: number;
    readonly trajectorySha256: string;
  };
  readonly stand: {
    readonly driftM: number;
    readonly feetDown: number;
    readonly durationS: number;
  };
  /** One entry per control period of the walk in each array. */
  readonly trace: {
    readonly timeS: readonly number[];
    readonly heightM: readonly number[];
    /** vx, vy in the body frame, m/s. */
    readonly velocity: readonly (readonly number[])[];
    /** rad/s. */
    readonly yawRate: readonly number[];
    /** FL FR HL HR. */
    readonly footContact: readonly (readonly boolean[])[];
    readonly rollDeg: readonly number[];
    readonly pitchDeg: readonly number[];
  };
  readonly latencyUs: {
    readonly samples: readonly number[];
    readonly p50: number;
    readonly p99: number;
    readonly max: number;
  };
  readonly parity: {
    readonly pass: boolean;
    readonly mae: number;
    readonly max: number;
    readonly samples: number;
    /** `mae` has to stay below. */
    readonly gate: number;
    /** The arithmetic of either side, as in `Backend.arithmetic`. */
    readonly evidence: { readonly a: string; readonly b: string };
    readonly perOutput: readonly {
      readonly name: string;
      readonly mae: number;
      readonly max: number;
    }[];
    /** |a − b|, all of them or a sample. */
    readonly errors: readonly number[];
  };
  /** Plain words on what this result does and does not show. */
  readonly notes: readonly string[];
}

export interface DemoStage {
  readonly name: string;
  readonly seconds: number;
  readonly ok: boolean;
  readonly ranOn: string;
  readonly detail: string;
}

/** Renders the page; the same report gives the same bytes. */
export function renderDemoPage(report: DemoReport): string {
  const walk = walkFigures(report);
  const latency = latencyFigure(report);
  const errors = errorFigure(report);
  const body = html`<header>${verdict(report)}${ranOn(report)}${keyFigures(report)}</header>
    <main>
      <h2>Stages</h2>
      ${stageTable(report.stages)}
      <h2>Walk</h2>
      <p class="lead">
        ${walkSentence(report)}
        <span class="screen-only">Drag over a plot to zoom, double-click to go back.</span>
      </p>
      ${walk.map(renderFigure)}
      <h2>Latency and parity</h2>
      <p class="lead">${paritySentence(report)}</p>
      <noscript><p class="lead">The plots need JavaScript; nothing is fetched.</p></noscript>
      <div class="pair">${[latency, errors].map(renderFigure)}</div>
      ${outputTable(report.parity.perOutput)}${notes(report.notes)}
    </main>
    ${footer(report.version, trajectory(report))}`;
  return renderPage({
    title: `lite3rl demo: ${report.ok ? "passed" : "failed"}`,
    body,
    figures: [...walk, latency, errors],
    report,
  });
}

function verdict({ ok, stages, walk, parity, version, startedAt, machine }: DemoReport): Html {
  const failed = stages.filter((stage) => !stage.ok).map((stage) => stage.name);
  const failure =
    failed.length === 0 ? html`` : html`<p class="failure bad">Failed: ${failed.join(", ")}</p>`;
  return html`<p class="byline">
      ${mark(ok, ok ? "✓ Passed" : "✕ Failed", "verdict")}
      <span>lite3rl ${version} demo</span>
      <time datetime="${startedAt}">${readableTime(startedAt)}</time>
      <span>${machine}</span>
    </p>
    <h1>
      Walked ${formatFixed(walk.walkedM, 2, "m")} in ${formatSignificant(walk.durationS, "s")},
      ${formatCount(walk.falls, "fall")}, parity ${formatSignificant(parity.mae)} (gate
      ${formatSignificant(parity.gate)})
    </h1>
    ${failure}`;
}

/** What the figures come from; an NPU only where a stage or a side of parity states one. */
function ranOn({ stages, parity, machine }: DemoReport): Html {
  const { a, b } = parity.evidence;
  const onNpu = stages.filter((stage) => isNpu(stage.ranOn)).map((stage) => stage.name);
  if (isNpu(a) || isNpu(b)) onNpu.push(`parity (${a} and ${b})`);
  const used =
    onNpu.length > 0
      ? `An NPU was used for: ${onNpu.join(", ")}.`
      : [a, b].includes("unstated")
        ? "Nothing here is stated to have run on an NPU."
        : "No NPU was used.";
  return html`<p class="ran-on">
    <strong>${used}</strong> Measured on: ${machine}. Parity compares <strong>${a}</strong> with
    <strong>${b}</strong>.
  </p>`;
}

function isNpu(evidence: string): boolean {
  return /^npu\b/i.test(evidence.trim());
}

function keyFigures({ walk, stand, latencyUs, parity }: DemoReport): Html {
  const periods = Math.round(walk.rateHz * walk.durationS);
  return html`<dl class="key-figures">
    ${[
      tile("Walked", formatFixed(walk.walkedM, 2, "m"), formatCount(walk.falls, "fall")),
      tile("Overruns", String(walk.overruns), `of ${formatCount(periods, "period")}`),
      tile(
        "Drift while standing",
        formatFixed(stand.driftM * 100, 1, "cm"),
        `${stand.feetDown} of 4 feet down after ${formatSignificant(stand.durationS, "s")}`,
      ),
      tile(
        "Latency, p99",
        formatSignificant(latencyUs.p99, "µs"),
        `p50 ${formatSignificant(latencyUs.p50)}, max ${formatSignificant(latencyUs.max)}`,
      ),
      tile(
        "Parity, MAE",
        formatSignificant(parity.mae),
        `${parity.pass ? "within" : "misses"} the gate of ${formatSignificant(parity.gate)}`,
      ),
    ]}
  </dl>`;
}

function stageTable(stages: readonly DemoStage[]): Html {
  if (stages.length === 0) return html`<p class="no-data">no data</p>`;
  const row = (stage: DemoStage) =>
    html`<tr>
      <td>${mark(stage.ok, stage.ok ? "✓" : "✕", "", stage.ok ? "passed" : "failed")}</td>
      <td>${stage.name}</td>
      <td class="number">${formatDuration(stage.seconds)}</td>
      <td>${stage.ranOn}</td>
      <td>${stage.detail}</td>
    </tr>`;
  const total = stages.reduce((sum, stage) => sum + stage.seconds, 0);
  return html`<table class="rows stages">
    <thead>
      <tr>
        <th></th>
        <th>Stage</th>
        <th class="number">Time</th>
        <th>Ran on</th>
        <th>Result</th>
      </tr>
    </thead>
    <tbody>
      ${stages.map(row)}
    </tbody>
    <tfoot>
      <tr>
        <td></td>
        <td>Total</td>
        <td class="number">${formatDuration(total)}</td>
        <td></td>
        <td></td>
      </tr>
    </tfoot>
  </table>`;
}

function walkSentence({ walk }: DemoReport): string {
  const [vx, vy, wz] = walk.command.map((value) => formatSignificant(value));
  return (
    `Commanded vx ${vx} m/s, vy ${vy} m/s, wz ${wz} rad/s for ` +
    `${formatSignificant(walk.durationS, "s")} at ${formatSignificant(walk.rateHz, "Hz")}.`
  );
}

function paritySentence({ parity }: DemoReport): string {
  const { a, b } = parity.evidence;
  return (
    `The same ${formatCount(parity.samples, "observation")} through ${a} and ${b}: mean ` +
    `absolute error ${formatSignificant(parity.mae)}, largest ${formatSignificant(parity.max)}, ` +
    `${parity.pass ? "within" : "outside"} the gate of ${formatSignificant(parity.gate)}.`
  );
}

/** Per output: the mean error solid, the largest behind it, on one linear scale. */
function outputTable(outputs: DemoReport["parity"]["perOutput"]): Html {
  if (outputs.length === 0) return html`<p class="no-data">Errors per output: no data</p>`;
  const scale = Math.max(...outputs.map(({ max }) => max).filter(Number.isFinite), 0);
  const share = (value: number) =>
    scale > 0 && value > 0 ? Math.min(100, (value / scale) * 100).toFixed(1) : "0";
  const row = ({ name, mae, max }: (typeof outputs)[number]) =>
    html`<tr>
      <td>${name}</td>
      <td class="number">${formatSignificant(mae)}</td>
      <td class="number">${formatSignificant(max)}</td>
      <td>
        <span class="bar"
          ><i style="width: ${share(max)}%"></i><i style="width: ${share(mae)}%"></i
        ></span>
      </td>
    </tr>`;
  return html`<table class="rows outputs">
    <thead>
      <tr>
        <th>Output</th>
        <th class="number">MAE</th>
        <th class="number">Largest</th>
        <th>0 to ${formatSignificant(scale)}: MAE solid, largest faint</th>
      </tr>
    </thead>
    <tbody>
      ${outputs.map(row)}
    </tbody>
  </table>`;
}

function notes(lines: readonly string[]): Html {
  if (lines.length === 0) return html``;
  return html`<h2>Notes</h2>
    <ul class="notes">
      ${lines.map((line) => html`<li>${line}</li>`)}
    </ul>`;
}

const trajectory = ({ walk }: DemoReport): Html =>
  html`<p>Trajectory SHA-256 <code>${walk.trajectorySha256}</code></p>`;
