/**
 * The tables of a parity page.
 */

import { formatSignificant } from "./format_number.ts";
import { html, type Html } from "./html.ts";
import { mark } from "./page_parts.ts";
import type { ParityComparison } from "./parity_document.ts";

/** What was checked, and the smallest limit that would have passed. */
export function checkTable({ checks }: ParityComparison): Html {
  const number = (value: number | undefined) =>
    html`<td class="number">${value === undefined ? "" : formatSignificant(value)}</td>`;
  return html`<table class="rows checks">
    <thead>
      <tr>
        <th></th>
        <th>Check</th>
        <th class="number">Found</th>
        <th class="number">Limit</th>
      </tr>
    </thead>
    <tbody>
      ${checks.map(
        ({ name, pass, found, limit, failures }) =>
          html`<tr>
            <td>${mark(pass, pass ? "✓" : "✕", "", pass ? "passed" : "failed")}</td>
            <td>
              ${name}${failures.map((failure) => html`<br /><span class="bad">${failure}</span>`)}
            </td>
            ${number(found)}${number(limit)}
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** What of a .rknn was run as it is in the file, and what is assumed. */
export function fileNotes({ files = [], requiredTolerance, nonFinite }: ParityComparison): Html {
  const lines = files.flatMap(({ file, platforms, fromFile, assumed, weights }) => {
    const elements = weights.layers.reduce((sum, layer) => sum + layer.elements, 0);
    const differing = weights.layers.reduce((sum, layer) => sum + layer.differing, 0);
    return [
      `${file} is for ${platforms.join(", ")}; from it: ${fromFile.join("; ")}`,
      `Assumed: ${assumed.join("; ")}`,
      `${differing} of its ${elements} weights and biases differ from the model's`,
    ];
  });
  const { mae, max } = requiredTolerance;
  const passes = Number.isFinite(mae) && Number.isFinite(max) && nonFinite === undefined;
  lines.push(passes ? `Would pass with --mae ${mae} --max ${max} or more` : "No limit would pass");
  return html`<ul class="notes">
    ${lines.map((line) => html`<li>${line}</li>`)}
  </ul>`;
}

/** Per output: the mean error solid, the largest behind it, on one linear scale. */
export function outputTable({ perOutput }: ParityComparison): Html {
  const scale = Math.max(...perOutput.map(({ max }) => max), 0);
  const hasRadians = perOutput.some(({ radians }) => radians !== undefined);
  const share = (value: number) => (scale > 0 ? ((value / scale) * 100).toFixed(1) : "0");
  const cell = (value: number | undefined) =>
    html`<td class="number">${value === undefined ? "" : formatSignificant(value)}</td>`;
  return html`<table class="rows outputs">
    <thead>
      <tr>
        <th>Output</th>
        <th class="number">MAE</th>
        <th class="number secondary">p99</th>
        <th class="number">Largest</th>
        ${hasRadians ? html`<th class="number">Largest, rad</th>` : ""}
        <th>0 to ${formatSignificant(scale)}: MAE solid, largest faint</th>
      </tr>
    </thead>
    <tbody>
      ${perOutput.map(
        ({ name, mae, max, quantiles, radians }) =>
          html`<tr>
            <td>${name}</td>
            ${cell(mae)}
            <td class="number secondary">${formatSignificant(quantiles.p99)}</td>
            ${cell(max)}${hasRadians ? cell(radians?.max) : ""}
            <td>
              <span class="bar"
                ><i style="width: ${share(max)}%"></i><i style="width: ${share(mae)}%"></i
              ></span>
            </td>
          </tr>`,
      )}
    </tbody>
  </table>`;
}

/** Errors on each kind of generated observations; nothing where they were not generated. */
export function kindTable({ kinds }: ParityComparison): Html {
  if (kinds === undefined) return html``;
  return html`<h2>Beyond the plausible</h2>
    <table class="rows">
      <thead>
        <tr>
          <th>Observations</th>
          <th class="number">Samples</th>
          <th class="number">MAE</th>
          <th class="number">Largest</th>
          <th class="secondary">Where</th>
        </tr>
      </thead>
      <tbody>
        ${kinds.map(
          ({ kind, samples, mae, max, worst }) =>
            html`<tr>
              <td>${kind}</td>
              <td class="number">${samples}</td>
              <td class="number">${formatSignificant(mae)}</td>
              <td class="number">${formatSignificant(max)}</td>
              <td class="secondary">${worst.output}, sample ${worst.sample}</td>
            </tr>`,
        )}
      </tbody>
    </table>
    <p class="lead">
      All other figures are of the plausible ones. Edge: zeros, the mean, each number alone and all
      at ±5 deviations, all at ±100. Adversarial: all at ±3, signs by chance.
    </p>`;
}

/** Errors of the values inside of the networks; nothing where they were not asked for. */
export function layerTable({ bisection }: ParityComparison): Html {
  if (bisection === undefined) return html``;
  const { layers, first, limit, samples } = bisection;
  const lead =
    first === null
      ? `No layer's MAE is above ${formatSignificant(limit)}.`
      : `The MAE is above ${formatSignificant(limit)} from ${first} on.`;
  return html`<h2>Layers</h2>
    <p class="lead">${lead} Both networks on ${samples} samples, each with its own values.</p>
    <table class="rows">
      <thead>
        <tr>
          <th>Value</th>
          <th>Layer</th>
          <th class="number">MAE</th>
          <th class="number">Largest</th>
          <th class="number">Signal to noise</th>
        </tr>
      </thead>
      <tbody>
        ${layers.map(
          ({ name, op, mae, max, sqnrDb }) =>
            html`<tr>
              <td>${name === first ? html`<strong>${name}</strong>` : name}</td>
              <td>${op}</td>
              <td class="number">${formatSignificant(mae)}</td>
              <td class="number">${formatSignificant(max)}</td>
              <td class="number">
                ${sqnrDb === null ? "no noise" : formatSignificant(sqnrDb, "dB")}
              </td>
            </tr>`,
        )}
      </tbody>
    </table>`;
}

/** Each worst sample, to be opened: its actions on both sides, and the observation. */
export function worstSamples(
  { worstSamples: samples, perOutput }: ParityComparison,
  terms: readonly { readonly name: string; readonly size: number }[] | undefined,
): Html {
  return html`${samples.map(({ sample, output, error, observation, a, b }) => {
    const rows = perOutput.map(({ name }, i) => {
      const [x = Number.NaN, y = Number.NaN] = [a[i], b[i]];
      const numbers = [x, y].map((value) => html`<td class="number">${value.toFixed(5)}</td>`);
      return html`<tr>
        <td>${name === output ? html`<strong>${name}</strong>` : name}</td>
        ${numbers}
        <td class="number">${formatSignificant(y - x)}</td>
      </tr>`;
    });
    return html`<details>
      <summary>Sample ${sample}: ${output} is ${formatSignificant(error)} apart</summary>
      <table class="rows">
        <thead>
          <tr>
            <th>Output</th>
            <th class="number">a</th>
            <th class="number">b</th>
            <th class="number">b − a</th>
          </tr>
        </thead>
        <tbody>
          ${rows}
        </tbody>
      </table>
      <dl class="observation">${observationParts(observation, terms)}</dl>
    </details>`;
  })}`;
}

function observationParts(
  observation: readonly number[],
  terms: readonly { readonly name: string; readonly size: number }[] | undefined,
): Html[] {
  let from = 0;
  return (terms ?? [{ name: "observation", size: observation.length }]).map(({ name, size }) => {
    const values = observation.slice(from, from + size);
    from += size;
    return html`<dt>${name}</dt>
      <dd>${values.map((value) => formatSignificant(value)).join(" ")}</dd>`;
  });
}
