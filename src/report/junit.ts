/**
 * A comparison as JUnit XML, which every CI shows: one suite for each comparison, one test case
 * for each thing that was checked. Without times, so that equal results are equal bytes.
 */

import { closedLoopSentence } from "./closed_loop_document.ts";
import type { ParityCheck, ParityComparison } from "./parity_document.ts";

/** The file's text. */
export function renderJunit(comparisons: readonly ParityComparison[]): string {
  const all = comparisons.flatMap(({ checks }) => checks);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name: "lite3rl parity", ...countsOf(all) })}>`,
    ...comparisons.flatMap(suite),
    "</testsuites>",
    "",
  ].join("\n");
}

function suite(comparison: ParityComparison): string[] {
  const { sides, evidence, samples, dataset, mae, max, worst, checks, closedLoop } = comparison;
  const name = `${sides.a} and ${sides.b}`;
  const properties = {
    "evidence.a": evidence.a,
    "evidence.b": evidence.b,
    samples,
    dataset,
    mae,
    max,
    worst: `sample ${worst.sample}, ${worst.output}`,
    ...(closedLoop && {
      "closed loop": `${closedLoopSentence(closedLoop)}, ${closedLoop.episodes} episodes`,
    }),
  };
  return [
    `  <testsuite ${attributes({ name, ...countsOf(checks) })}>`,
    "    <properties>",
    ...Object.entries(properties).map(
      ([key, value]) => `      <property ${attributes({ name: key, value })}/>`,
    ),
    "    </properties>",
    ...checks.flatMap((check) => testCase(name, check)),
    "  </testsuite>",
  ];
}

function testCase(suiteName: string, { name, failures }: ParityCheck): string[] {
  const own = attributes({ classname: suiteName, name });
  if (failures.length === 0) return [`    <testcase ${own}/>`];
  const [message = ""] = failures;
  return [
    `    <testcase ${own}>`,
    `      <failure ${attributes({ message })}>${escapeXml(failures.join("\n"))}</failure>`,
    "    </testcase>",
  ];
}

function countsOf(checks: readonly ParityCheck[]) {
  const failures = checks.filter(({ pass }) => !pass).length;
  return { tests: checks.length, failures, errors: 0, skipped: 0 };
}

function attributes(values: Readonly<Record<string, string | number>>): string {
  return Object.entries(values)
    .map(([name, value]) => `${name}="${escapeXml(String(value))}"`)
    .join(" ");
}

/** XML 1.0 cannot hold most control characters, not even escaped: U+FFFD stands for them. */
function escapeXml(text: string): string {
  return text
    .toWellFormed()
    .replace(/[^\P{Cc}\t\r\n]|[\uFFFE\uFFFF]/gu, "\uFFFD")
    .replace(/[&<>"'\t\r\n]/g, (character) => `&#${character.charCodeAt(0)};`);
}
