/**
 * Numbers as a reader wants them: few digits, a unit, and "no data" instead of NaN.
 */

export const NO_DATA = "no data";

/** A fixed number of decimals and a unit: `5.74 m`. */
export function formatFixed(value: number, decimals: number, unit = ""): string {
  if (!Number.isFinite(value)) return NO_DATA;
  return `${value.toFixed(decimals).replace(/^-(0\.?0*)$/, "$1")} ${unit}`.trim();
}

/** Two or three digits at any magnitude, and a unit: `2.1e-4`, `0.05`, `18.3 µs`, `1.2e+6`. */
export function formatSignificant(value: number, unit = ""): string {
  if (!Number.isFinite(value)) return NO_DATA;
  const magnitude = Math.abs(value);
  const isExtreme = magnitude !== 0 && (magnitude < 0.01 || magnitude >= 1e5);
  const digits = isExtreme
    ? value.toExponential(1).replace(".0e", "e")
    : String(Number(value.toPrecision(3)));
  return `${digits} ${unit}`.trim();
}

/** Seconds in the unit that fits: `340 ms`, `12.3 s`, `3 min 20 s`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return NO_DATA;
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 119.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A count with its noun: `0 falls`, `1 fall`. */
export function formatCount(count: number, noun: string): string {
  if (!Number.isFinite(count)) return `${noun}s: ${NO_DATA}`;
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
