/** A finding as text: a title, blocks of facts and tables, warnings, and what to do. */

import { wrap } from "../base/text.ts";
import { paint, table } from "../cli/output.ts";
import type { Block, Fact } from "./finding.ts";
import type { Inspection } from "./inspect.ts";

/** Where long facts are broken, a little less than the usual terminal. */
const COLUMNS = 100;

export function renderInspection({ path, finding, bytes, sha256 }: Inspection): string {
  const size = bytes === null ? "" : `, ${bytes} bytes`;
  const digest = sha256 === null ? "" : `\n${paint("dim", `sha256 ${sha256}`)}`;
  const parts = [
    `${paint("bold", path)}: ${finding.title}${size}${digest}`,
    ...finding.blocks.map(renderBlock).filter((text) => text !== ""),
    bullets(finding.warnings, (text) => `${paint("yellow", "!")} ${text}`),
    bullets(finding.advice, (text) =>
      isCommand(text) ? `${paint("dim", "$")} ${paint("green", text)}` : `- ${text}`,
    ),
  ];
  return parts.filter((part) => part !== "").join("\n\n");
}

const isCommand = (text: string): boolean => text.startsWith("lite3rl ");

function bullets(lines: readonly string[], render: (text: string) => string): string {
  return lines
    .map((line) => (isCommand(line) ? line : wrap(line, COLUMNS - 2).join("\n  ")))
    .map(render)
    .join("\n");
}

function renderBlock(block: Block): string {
  if ("facts" in block) return renderFacts(block.facts);
  return block.rows.length === 0 ? "" : table(block.head, block.rows, block.right);
}

function renderFacts(facts: readonly Fact[]): string {
  const width = Math.max(...facts.map(([label]) => label.length)) + 2;
  return facts
    .map(([label, text]) => {
      const lines = wrap(text, COLUMNS - width).join(`\n${" ".repeat(width)}`);
      return `${paint("dim", label.padEnd(width))}${lines}`;
    })
    .join("\n");
}
