/**
 * The plots of a parity page: how large the errors are, and for each output where in its range
 * they are.
 */

import { type Figure, histogramCaption, histogramFigure, marker, scatterFigure } from "./figure.ts";
import { logHistogram } from "./histogram.ts";
import type { ParityComparison } from "./parity_document.ts";

/** What is plotted of a comparison and is not in its document. */
export interface ParityValues {
  /** |a − b| of every value. */
  readonly errors: Iterable<number>;
  /** Per output: action of a and b − a, of samples that stand for all. */
  readonly points: readonly (readonly (readonly [number, number])[])[];
}

/** Of one comparison; `id` sets its figures apart from those of others in the page. */
export function errorHistogram(
  id: string,
  { mae, gate, max }: ParityComparison,
  { errors }: ParityValues,
): Figure {
  const histogram = logHistogram(errors);
  const { quantile } = gate;
  const data = histogramFigure(histogram, "", [
    marker("MAE", mae, "", "orange"),
    marker("gate of MAE", gate.mae, "", "green"),
    ...(gate.max === undefined ? [] : [marker("gate of the largest", gate.max, "", "green")]),
    ...(quantile === undefined
      ? []
      : [marker(`gate of quantile ${quantile.quantile}`, quantile.limit, "", "green")]),
  ]);
  const caption = histogramCaption(histogram, "error");
  return {
    ...(max === 0 ? { absence: "every error is exactly 0" } : {}),
    id: `${id}-errors`,
    title: "Errors, |a − b|",
    caption: caption && `${caption}.`,
    heightPx: 230,
    data,
  };
}

/** One panel for each output, all of the same height, so that the worst one stands out. */
export function scatterPanels(
  id: string,
  { perOutput, worstSamples, max }: ParityComparison,
  { points }: ParityValues,
): Figure[] {
  return perOutput.map(({ name }, output) => {
    const marked = worstSamples
      .filter((sample) => sample.output === name)
      .map(({ a, b }): [number, number] => {
        const [x = Number.NaN, y = Number.NaN] = [a[output], b[output]];
        return [x, y - x];
      });
    return {
      id: `${id}-scatter-${output}`,
      title: name,
      caption: "",
      heightPx: 150,
      data: scatterFigure(points[output] ?? [], marked, max),
      ...(max === 0 ? { absence: "no difference" } : {}),
    };
  });
}
