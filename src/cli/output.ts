/**
 * How results look to a person: tables, units, colours, progress. Colours and progress bars only
 * where the stream is a terminal (and NO_COLOR is not set, which `styleText` honours).
 */

import { writeSync } from "node:fs";
import { styleText } from "node:util";
import { SingleBar } from "cli-progress";
import Table from "cli-table3";
import { Lite3Error } from "../base/errors.ts";
import { isQuiet, notice } from "../base/log.ts";

const BORDERLESS = {
  top: "",
  "top-mid": "",
  "top-left": "",
  "top-right": "",
  bottom: "",
  "bottom-mid": "",
  "bottom-left": "",
  "bottom-right": "",
  left: "",
  "left-mid": "",
  mid: "",
  "mid-mid": "",
  right: "",
  "right-mid": "",
  middle: "  ",
} as const;

/** Aligned columns without borders; columns named in `right` are right-aligned. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
): string {
  const grid = new Table({
    head: head.map((title) => paint("bold", title)),
    chars: BORDERLESS,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 0, compact: true },
    colAligns: head.map((title) => (right.includes(title) ? "right" : "left")),
  });
  grid.push(...rows.map((row) => [...row]));
  return grid
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

/** How wide a line may be: as COLUMNS says, or the terminal; undefined for a pipe or file. */
export function terminalColumns(): number | undefined {
  const said = Number(process.env.COLUMNS);
  return Number.isInteger(said) && said > 0 ? said : process.stdout.columns;
}

/**
 * Prints a result on stdout, whole; throws NATIVE if it cannot be written (a full disk). A reader
 * that has seen enough, as `head` has, is no error.
 */
export function printResult(text: string): void {
  const bytes = new TextEncoder().encode(`${text}\n`);
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(1, bytes, done);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      // A pipe that somebody made non-blocking is full: wait for its reader.
      if (code === "EPIPE") return;
      if (code === "EAGAIN") Bun.sleepSync(1);
      else throw new Lite3Error("NATIVE", `Cannot write the result to stdout: ${code}`);
    }
  }
}

type Style = "bold" | "dim" | "red" | "green" | "yellow";

/** Colours `text` if stdout is a terminal that wants colours. */
export function paint(style: Style, text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

export const passed = (ok: boolean): string => (ok ? paint("green", "ok") : paint("red", "FAILED"));

/** Three significant digits, plainly where that is short: 0.00027 → `2.7e-4`. */
export function figure(value: number): string {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 0.001 && size < 100_000) return String(Number(value.toPrecision(3)));
  return Number(value.toPrecision(3)).toExponential();
}

/** Three significant digits, rounded up: a limit of this size lets `value` pass. */
export function figureAbove(value: number): string {
  if (value === 0) return "0";
  const unit = 10 ** (Math.floor(Math.log10(value)) - 2);
  return figure(Math.ceil(value / unit) * unit);
}

export const metres = (value: number): string => `${value.toFixed(2)} m`;
export const microseconds = (value: number): string =>
  value >= 10_000 ? `${(value / 1000).toFixed(1)} ms` : `${value.toFixed(0)} µs`;
export const seconds = (value: number): string =>
  value < 1 ? `${(value * 1000).toFixed(0)} ms` : `${value.toFixed(1)} s`;

export interface Progress {
  update(done: number): void;
  finish(): void;
}

/** Before this much time nothing is shown: short work needs no bar. */
const SILENT_MS = 700;
/** Without a terminal: a line this often, so that a CI log shows life. */
const LINE_MS = 5000;

/** Progress of `total` units on stderr: a bar on a terminal, now and then a line elsewhere. */
export function progress(label: string, total: number): Progress {
  const started = performance.now();
  const terminal = process.stderr.isTTY && !isQuiet();
  let bar: SingleBar | undefined;
  let lastLine = started;
  return {
    update(done) {
      const now = performance.now();
      if (now - started < SILENT_MS || isQuiet()) return;
      if (!terminal) {
        if (now - lastLine < LINE_MS) return;
        lastLine = now;
        notice(`${label}: ${done} of ${total}`);
        return;
      }
      if (bar === undefined) {
        bar = new SingleBar({
          format: `${label} {bar} {value}/{total}`,
          stream: process.stderr,
          clearOnComplete: true,
          hideCursor: true,
        });
        bar.start(total, done);
      }
      bar.update(done);
    },
    finish() {
      bar?.stop();
    },
  };
}
