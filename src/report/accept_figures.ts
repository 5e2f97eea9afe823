/**
 * The plots of an acceptance: latency, power over time, and what the robot did.
 */

import type { AcceptLimits, Measured, MeasuredOf } from "./accept_document.ts";
import {
  type Figure,
  type FigureColor,
  type FigureData,
  histogramCaption,
  histogramFigure,
  lineFigure,
  type LineSeries,
  marker,
} from "./figure.ts";

/** Of whatever answered; its evidence is in the title. */
export function latencyFigure(latency: Measured["latency"], limits: AcceptLimits): Figure {
  const base = { id: "latency", heightPx: 230 };
  if (latency.state !== "measured") {
    const title = "Latency of one query, µs";
    return { ...base, title, caption: "", data: null, absence: latency.why };
  }
  const { histogram, us, evidence, p99UpperUs } = latency;
  const all = { ...histogram, rejected: 0 };
  const upper = p99UpperUs === null ? [] : [marker("p99 at most", p99UpperUs, "µs", "muted")];
  return {
    ...base,
    title: `Latency of one query, µs (${evidence})`,
    caption: `${histogramCaption(all, "answer")}.`,
    data: histogramFigure(all, "µs", [
      marker("p50", us.p50, "µs", "orange"),
      marker("p99", us.p99, "µs", "orange"),
      ...upper,
      marker("limit", limits.npu_latency_p99_ms * 1000, "µs", "green"),
    ]),
  };
}

export function powerFigure(power: Measured["power"], limits: AcceptLimits): Figure {
  const base = { id: "power", title: "Power, W", heightPx: 190 };
  if (power.state !== "measured") return { ...base, caption: "", data: null, absence: power.why };
  const { series, source, intervalS } = power;
  const { timeS, watts, loadFromS } = series;
  const isLoad = timeS.map((at) => at >= loadFromS);
  const phase = (load: boolean): (number | null)[] =>
    watts.map((value, i) => (isLoad[i] === load ? value : null));
  const bound = timeS.map(() => limits.power_w);
  return {
    ...base,
    caption: `From ${source}, every ${Number(intervalS.toPrecision(3))} s.`,
    data: lineFigure({
      timeS,
      decimals: 2,
      spanMin: 1,
      floor: 0,
      series: [
        { name: "before", color: "muted", values: phase(false) },
        { name: "under load", color: "blue", values: phase(true) },
        { name: "limit", color: "green", dashed: true, values: bound },
      ],
    }),
  };
}

const FEET = [
  ["FL", "blue"],
  ["FR", "orange"],
  ["HL", "green"],
  ["HR", "muted"],
] as const satisfies readonly (readonly [string, FigureColor])[];

/** Velocity, height, attitude, feet and torque over the same time; none without a run. */
export function gaitFigures(gait: Measured["gait"]): readonly Figure[] {
  if (gait.state !== "measured") return [];
  const { series } = gait;
  const lines = (decimals: number, spanMin: number, ...all: readonly LineSeries[]) =>
    lineFigure({ timeS: series.timeS, decimals, spanMin, series: all });
  return [
    figure(
      "velocity",
      "Forward velocity, m/s",
      lines(2, 0.4, line("measured", "blue", series.forwardMps), {
        ...line("commanded", "blue", series.commandedMps),
        dashed: true,
      }),
    ),
    figure(
      "height",
      "Height of the base, m",
      lines(3, 0.04, line("height", "blue", series.heightM)),
    ),
    figure(
      "attitude",
      "Roll and pitch, degrees",
      lines(1, 4, line("roll", "blue", series.rollDeg), line("pitch", "orange", series.pitchDeg)),
    ),
    figure(
      "feet",
      "Contact force of the feet, largest of each span, N",
      lines(0, 50, ...FEET.map(([name, color], i) => line(name, color, footOf(series, i)))),
    ),
    figure(
      "torque",
      "Joint torque, largest of all joints, Nm",
      lines(1, 5, line("torque", "orange", series.torqueNm)),
    ),
  ];
}

const footOf = ({ footForceN }: MeasuredOf<"gait">["series"], foot: number): readonly number[] =>
  footForceN[foot] ?? [];

const line = (name: string, color: FigureColor, values: readonly number[]): LineSeries => ({
  name,
  color,
  values,
});

const figure = (id: string, title: string, data: FigureData | null): Figure => ({
  id,
  title,
  caption: "",
  heightPx: 150,
  data,
});
