/**
 * Words for people, on stderr: results go to stdout, so that output can be piped.
 * The command line sets the level once. Written to the descriptor itself, since `console.error`
 * paints everything red on a terminal.
 */

import { writeSync } from "node:fs";
import { format, styleText } from "node:util";

export type LogLevel = "info" | "warn" | "error";

let quiet = false;
let isJson = false;
let sink: (line: string) => void = writeLine;
let isNews = (_line: string): boolean => true;

/** `--quiet`: only warnings and errors from now on. */
export function setQuiet(value: boolean): void {
  quiet = value;
}

export function isQuiet(): boolean {
  return quiet;
}

/** `--log json`: one JSON object a line from now on, with time, level, event and message. */
export function setJsonLog(value: boolean): void {
  isJson = value;
}

/** One line of progress or fact. */
export function notice(message: string): void {
  logEvent("info", "notice", message);
}

/** One line about something that will probably surprise; shown with --quiet too. */
export function warn(message: string): void {
  logEvent("warn", "warning", message);
}

/** One line that says why the program fails. */
export function complain(kind: "error" | "failed" | "bug", message: string): void {
  logEvent("error", kind, message);
}

/** One line about what happened, with its name and figures for programs that read the log. */
export function logEvent(
  level: LogLevel,
  event: string,
  message: string,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  if (quiet && level === "info") return;
  if (isJson) {
    say(JSON.stringify({ time: new Date().toISOString(), level, event, message, ...fields }));
    return;
  }
  if (level === "info") say(message);
  else if (level === "warn") say(`${paintError("yellow", "warning:")} ${message}`);
  else say(`${paintError("red", `${event}:`)} ${message}`);
}

function paintError(style: "red" | "yellow", text: string): string {
  return styleText(style, text, { stream: process.stderr });
}

/** What a user's module prints goes to stderr from now on: stdout has results alone. */
export function consoleToStderr(): void {
  const print = (...words: unknown[]): void => say(format(...words));
  Object.assign(console, { log: print, info: print, debug: print });
}

/** Gives every line to `write` instead of stderr, for those who want to see what is said. */
export function redirectLog(write: ((line: string) => void) | undefined): void {
  sink = write ?? writeLine;
}

/** While `action` runs, a line that was said is not said again: it opens the same file twice. */
export async function sayOnce<T>(action: () => Promise<T>): Promise<T> {
  const said = new Set<string>();
  const outer = isNews;
  isNews = (line) => outer(line) && !said.has(line) && Boolean(said.add(line));
  try {
    return await action();
  } finally {
    isNews = outer;
  }
}

function say(line: string): void {
  if (isNews(line)) sink(line);
}

function writeLine(line: string): void {
  const bytes = new TextEncoder().encode(`${line}\n`);
  for (let done = 0; done < bytes.length;) {
    try {
      done += writeSync(2, bytes, done);
    } catch (error) {
      // Nobody can be told that stderr is closed; a full pipe is waited for.
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") return;
      Bun.sleepSync(1);
    }
  }
}
