/**
 * The tables of an acceptance's page, below its own.
 */

import type { AcceptDocument, Measured } from "./accept_document.ts";
import { formatCount, formatFixed, formatSignificant } from "./format_number.ts";
import { html, type Html } from "./html.ts";
import { mark } from "./page_parts.ts";

const note = (text: string): Html => html`<p class="lead">${text}</p>`;

/** What is in place of figures that are not there. */
const absence = (stage: { readonly why: string }): Html =>
  html`<p class="no-data">${stage.why}</p>`;

/** Quantiles with their titles; a narrow page shows the first three. */
const QUANTILES = [
  ["p50", "p50"],
  ["p99", "p99"],
  ["max", "largest"],
  ["p90", "p90"],
  ["p95", "p95"],
  ["p999", "p99.9"],
  ["mean", "mean"],
] as const;
const NARROW = 3;

/** Times of a query and of its parts, and of what comes before it. */
export function latencyTable({ latency, preprocessing }: Measured): Html {
  const rows: Html[] = [];
  const kind = (column: number): string => (column < NARROW ? "number" : "number secondary");
  const add = (name: string, us: Partial<Record<(typeof QUANTILES)[number][0], number>>) => {
    const cells = QUANTILES.map(([key], column) => {
      const value = us[key];
      const shown = value === undefined ? "" : formatSignificant(value);
      return html`<td class="${kind(column)}">${shown}</td>`;
    });
    rows.push(
      html`<tr>
        <td>${name}</td>
        ${cells}
      </tr>`,
    );
  };
  if (latency.state === "measured") {
    add("query", latency.us);
    if (latency.split !== null) {
      add("inputs set", latency.split.setUs);
      add("run", latency.split.runUs);
      add("outputs fetched", latency.split.getUs);
    }
  }
  if (preprocessing.state === "measured") add("preprocessing", preprocessing.us);
  return html`${latencySentence(latency)}
    <table class="rows">
      <thead>
        <tr>
          <th>µs</th>
          ${QUANTILES.map(([, title], column) => html`<th class="${kind(column)}">${title}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>`;
}

function latencySentence(latency: Measured["latency"]): Html {
  if (latency.state !== "measured") return html``;
  const { subject, backend, evidence, queries, durationS, warmUp, p99UpperUs, library } = latency;
  const sure =
    p99UpperUs === null
      ? "too few queries to say with 99 % confidence"
      : `with 99 % confidence the p99 is at most ${formatSignificant(p99UpperUs, "µs")}`;
  const by =
    library === null
      ? ""
      : ` Library ${library.api}, driver ${library.driver}, numbers in by ${library.io}.`;
  return note(
    `${subject} by ${backend}, which rests on ${evidence}: one query at a time, the next when ` +
      `the last is answered, ${queries} queries in ${formatSignificant(durationS, "s")} after ` +
      `${warmUp} to warm up; ${sure}. The limit is for the p99.${by}`,
  );
}

export function parityNote(parity: Measured["parity"]): Html {
  if (parity.state !== "measured") return absence(parity);
  const { sides, evidence, mae, max, samples, dataset, worst } = parity.comparison;
  return note(
    `${sides.a} (${evidence.a}) and ${sides.b} (${evidence.b}) on ` +
      `${formatCount(samples, "observation")} (${dataset}): MAE ${formatSignificant(mae)}, ` +
      `largest ${formatSignificant(max)} at ${worst.output}.`,
  );
}

export function powerNote(power: Measured["power"]): Html {
  if (power.state !== "measured") return html``;
  const { idle, load, aboveIdleW } = power;
  const [mean, most, before, more] = [load.meanW, load.maxW, idle.meanW, aboveIdleW].map((watts) =>
    formatFixed(watts, 2, "W"),
  );
  return note(
    `${mean} on average of ${load.samples} readings under load, at most ${most}; ${before} of ` +
      `${idle.samples} before; ${more} more under load. The limit is for the whole.`,
  );
}

/** The limits of the gait, as `agent --verdict` has them. */
export function gaitTable({ measured: { gait }, gaitRows }: AcceptDocument): Html {
  if (gait.state !== "measured") return absence(gait);
  const { environment, isSimulated, evidence, policy, imu, seed } = gait;
  const turning =
    imu === null
      ? "no IMU"
      : `IMU: angular velocity RMS ` +
        `${imu.angularVelocityRmsRadps.map((value) => formatFixed(value, 2)).join(", ")} rad/s, ` +
        `acceleration at most ${formatSignificant(imu.accelerationPeakMps2, "m/s²")}`;
  const place = isSimulated ? `${environment}, a simulation` : environment;
  const sentence =
    `In ${place}, seed ${seed}, through ${policy}, which rests on ${evidence}, under changing ` +
    `commands in real time; ${turning}. All of it is from run.mcap.`;
  return html`${note(sentence)}
    <table class="rows checks">
      <thead>
        <tr>
          <th></th>
          <th>Figure</th>
          <th class="number">Found</th>
          <th class="number">Limit</th>
        </tr>
      </thead>
      <tbody>
        ${gaitRows.map(
          ({ name, found, limit, ok, where = "" }) =>
            html`<tr>
              <td>${mark(ok, ok ? "✓" : "✕", "", ok ? "passed" : "failed")}</td>
              <td>${name} ${where}</td>
              <td class="number">${found === null ? "not measured" : formatSignificant(found)}</td>
              <td class="number">${formatSignificant(limit)}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

export function boardTables(board: Measured["board"]): Html {
  if (board.state !== "measured") return absence(board);
  const governors = board.governors.map(({ place, before, tried, readBack }) => [
    place,
    `${before}, tried ${tried}`,
    readBack,
  ]);
  const later = new Map(board.after.map(({ check, found }) => [check, found]));
  const checks = board.rows.map(({ check, state, found }) => [
    `${check}${state === "ok" ? "" : `: ${state}`}`,
    found,
    later.get(check) ?? "",
  ]);
  return html`${note(`${board.board} (${board.place}).`)}
  ${threeColumns(["Check", "Before", "After"], checks)}
  ${governors.length === 0 ? "" : threeColumns(["Governor", "Before", "Read back"], governors)}`;
}

export function fileTable({ files }: AcceptDocument): Html {
  return threeColumns(
    ["File", "Bytes", "SHA-256"],
    files.map(({ role, path, bytes, sha256 }) => [`${role}: ${path}`, String(bytes), sha256]),
  );
}

function threeColumns(names: readonly string[], rows: readonly (readonly string[])[]): Html {
  return html`<table class="rows">
    <thead>
      <tr>
        ${names.map((name) => html`<th>${name}</th>`)}
      </tr>
    </thead>
    <tbody>
      ${rows.map(
        (cells) =>
          html`<tr>
            ${cells.map((cell) => html`<td>${cell}</td>`)}
          </tr>`,
      )}
    </tbody>
  </table>`;
}
