/**
 * What was checked as JUnit XML, which every CI shows: one suite for each comparison, one test case
 * for each check. Without times, so that equal results are equal bytes.
 */

import { closedLoopSentence } from "./closed_loop_document.ts";
import type { ParityComparison } from "./parity_document.ts";

/** One thing that was checked. */
export interface Case {
  readonly name: string;
  /** Why it fails; nothing where it does not. */
  readonly failures: readonly string[];
  /** Why it was not checked, which was allowed. */
  readonly skipped?: string;
}

export interface Suite {
  readonly name: string;
  readonly properties: Readonly<Record<string, string | number>>;
  readonly cases: readonly Case[];
}

/** The file's text. */
export function renderJunit(comparisons: readonly ParityComparison[]): string {
  return renderSuites("lite3rl parity", comparisons.map(suiteOf));
}

/** Suites of any verb. */
export function renderSuites(name: string, suites: readonly Suite[]): string {
  const all = suites.flatMap(({ cases }) => cases);
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name, ...countsOf(all) })}>`,
    ...suites.flatMap(suite),
    "</testsuites>",
    "",
  ].join("\n");
}

function suiteOf(comparison: ParityComparison): Suite {
  const { sides, evidence, samples, dataset, mae, max, worst, checks, closedLoop } = comparison;
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
  return { name: `${sides.a} and ${sides.b}`, properties, cases: checks };
}

function suite({ name, properties, cases }: Suite): string[] {
  return [
    `  <testsuite ${attributes({ name, ...countsOf(cases) })}>`,
    "    <properties>",
    ...Object.entries(properties).map(
      ([key, value]) => `      <property ${attributes({ name: key, value })}/>`,
    ),
    "    </properties>",
    ...cases.flatMap((one) => testCase(name, one)),
    "  </testsuite>",
  ];
}

function testCase(suiteName: string, { name, failures, skipped }: Case): string[] {
  const own = attributes({ classname: suiteName, name });
  const [message = skipped] = failures;
  if (message === undefined) return [`    <testcase ${own}/>`];
  const reason = attributes({ message });
  const inside =
    failures.length > 0
      ? `<failure ${reason}>${escapeXml(failures.join("\n"))}</failure>`
      : `<skipped ${reason}/>`;
  return [`    <testcase ${own}>`, `      ${inside}`, "    </testcase>"];
}

function countsOf(cases: readonly Case[]) {
  const failures = cases.filter((one) => one.failures.length > 0).length;
  const skipped = cases.filter((one) => one.skipped !== undefined).length;
  return { tests: cases.length, failures, errors: 0, skipped };
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
