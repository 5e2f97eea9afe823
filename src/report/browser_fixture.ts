/**
 * A page as a reader has it: its text without markup, and what a browser makes of it.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { present } from "../base/assert.ts";
import { warn } from "../base/log.ts";

export const chromium = Bun.which("chromium");
if (!chromium) warn("skipping pages in a browser: chromium is not on PATH");

/** The markup without what is inside scripts and styles. */
export function bareMarkup(page: string): string {
  return page.replace(/(<(script|style)\b[^>]*>).*?<\/\2>/gs, "$1");
}

/** Visible text with white space as a browser shows it. */
export function textOf(page: string): string {
  return bareMarkup(page)
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
}

/** The document as the browser has it after its scripts. */
export async function openInBrowser(page: string): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-report-"));
  try {
    await Bun.write(join(directory, "page.html"), page);
    const flags =
      "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run " +
      "--disable-background-networking --disable-component-update --disable-sync " +
      "--virtual-time-budget=5000 --dump-dom";
    const browser = Bun.spawn(
      [
        present(chromium),
        ...flags.split(" "),
        `--user-data-dir=${join(directory, "profile")}`,
        `file://${join(directory, "page.html")}`,
      ],
      { stdout: "pipe", stderr: "ignore" },
    );
    const dom = await browser.stdout.text();
    await browser.exited;
    return dom;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export function rootOf(dom: string): string {
  return present(/<html[^>]*>/.exec(dom)?.[0], "root element");
}
