/**
 * The plots of the demo's page: what the robot did, how fast the policy answered, and how far two
 * runs of the same policy are apart.
 */

import type { DemoReport } from "./demo_page.ts";
import {
  type Figure,
  type FigureColor,
  type FigureData,
  histogramCaption,
  histogramFigure,
  laneFigure,
  lineFigure,
  type LineSeries,
  marker,
} from "./figure.ts";
import { formatSignificant } from "./format_number.ts";
import { logHistogram } from "./histogram.ts";

/** Feet of one diagonal share a colour: a trot shows as two colours taking turns. */
const FEET = [
  { name: "FL", color: "blue" },
  { name: "FR", color: "orange" },
  { name: "HL", color: "orange" },
  { name: "HR", color: "blue" },
] as const;

/** Velocity, yaw rate, height, attitude and foot contacts over the same time. */
export function walkFigures({ trace, walk }: DemoReport): readonly Figure[] {
  const [vx, vy, wz] = walk.command;
  const { timeS } = trace;
  const velocity = (axis: number) => trace.velocity.map((sample) => sample[axis] ?? Number.NaN);
  const lines = (decimals: number, spanMin: number, ...series: readonly LineSeries[]) =>
    lineFigure({ timeS, decimals, spanMin, series });
  const commanded = (name: string, color: FigureColor, value: number): LineSeries => ({
    ...measured(`${name} commanded`, color, Array(timeS.length).fill(value)),
    dashed: true,
  });
  const gait = laneFigure(timeS, trace.footContact, FEET, { on: "down", off: "up" });

  return [
    overTime(
      "velocity",
      "Velocity of the base in its own frame, m/s",
      lines(
        2,
        0.4,
        measured("vx", "blue", velocity(0)),
        commanded("vx", "blue", vx),
        measured("vy", "orange", velocity(1)),
        commanded("vy", "orange", vy),
      ),
    ),
    overTime(
      "yaw-rate",
      "Yaw rate, rad/s",
      lines(2, 0.4, measured("wz", "green", trace.yawRate), commanded("wz", "green", wz)),
    ),
    overTime(
      "height",
      "Height of the base, m",
      lines(3, 0.04, measured("height", "blue", trace.heightM)),
    ),
    overTime(
      "attitude",
      "Roll and pitch, degrees",
      lines(
        1,
        4,
        measured("roll", "blue", trace.rollDeg),
        measured("pitch", "orange", trace.pitchDeg),
      ),
    ),
    {
      ...overTime("gait", "Foot contacts", gait),
      caption: gait
        ? "Filled while the foot is on the ground. Feet of one diagonal share a colour."
        : "",
    },
  ];
}

/** How long the policy took for one action, with its percentiles. */
export function latencyFigure({ latencyUs, walk }: DemoReport): Figure {
  const histogram = logHistogram(latencyUs.samples);
  const caption = histogramCaption(histogram, "sample");
  const share = (latencyUs.p99 * walk.rateHz) / 1e4;
  return {
    id: "latency",
    title: "Latency of one action, µs",
    caption: Number.isFinite(share)
      ? sentences(caption, `p99 is ${formatSignificant(share)} % of the control period`)
      : caption,
    heightPx: 230,
    data: histogramFigure(histogram, "µs", [
      marker("p50", latencyUs.p50, "µs", "orange"),
      marker("p99", latencyUs.p99, "µs", "orange"),
    ]),
  };
}

/** How far the two runs are apart, on the same axis as the gate. */
export function errorFigure({ parity }: DemoReport): Figure {
  const histogram = logHistogram(parity.errors);
  const { zeros, rejected } = histogram;
  return {
    ...(zeros > 0 && rejected === 0 ? { absence: "every error is exactly 0" } : {}),
    id: "errors",
    title: `Error of action values, |${parity.evidence.a} − ${parity.evidence.b}|`,
    caption: sentences(histogramCaption(histogram, "error"), "The gate is for their mean, MAE"),
    heightPx: 230,
    data: histogramFigure(histogram, "", [
      marker("MAE", parity.mae, "", "orange"),
      marker("gate", parity.gate, "", "green"),
    ]),
  };
}

function overTime(id: string, title: string, data: FigureData | null): Figure {
  return { id, title, caption: "", heightPx: id === "velocity" ? 190 : 150, data };
}

function measured(name: string, color: FigureColor, values: readonly number[]): LineSeries {
  return { name, color, values };
}

function sentences(...parts: readonly string[]): string {
  return parts.map((part) => part && `${part}.`).join(" ");
}
