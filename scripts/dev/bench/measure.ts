/** Lines of the bench, and the time of whole processes. */

import { run } from "../project.ts";

/** Runs of what is short; figures are their best and median. */
export const RUNS = 7;

/** Prints one line. */
export function line(figures: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify(figures));
}

/** Times a whole process, `runs` times. */
export function time(
  name: string,
  runs: number,
  budget: number,
  command: readonly string[],
  cwd: string,
): void {
  const tookMs = Array.from({ length: runs }, () => {
    const started = performance.now();
    const { status, stderr } = run(command, { cwd });
    if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
    return performance.now() - started;
  }).sort((a, b) => a - b);
  line({ name, unit: "ms", best: tookMs[0], median: tookMs[runs >> 1], runs, budget });
}
