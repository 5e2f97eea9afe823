/**
 * Words for people, on stderr: results go to stdout, so that output can be piped.
 * The command line sets the level once; nothing else in the program prints.
 */

let quiet = false;

/** `--quiet`: only warnings and errors from now on. */
export function setQuiet(value: boolean): void {
  quiet = value;
}

export function isQuiet(): boolean {
  return quiet;
}

/** One line of progress or fact. */
export function notice(message: string): void {
  if (!quiet) console.error(message);
}

/** One line about something that will probably surprise; shown with --quiet too. */
export function warn(message: string): void {
  console.error(`warning: ${message}`);
}
