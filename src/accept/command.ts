/**
 * `lite3rl accept`: the words. What is measured is in `accept.ts`, the verdict in `judge.ts`.
 */

import { existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import {
  checkOutput,
  makeTemporaryDirectory,
  readFile,
  sha256,
  writeFileAtomic,
} from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { stopOnSignals } from "../base/stop.ts";
import { type CommandResult, defineCommand, type FlagValues } from "../cli/command.ts";
import { programOptions } from "../cli/program_flags.ts";
import { type AcceptDocument, acceptDocumentSchema } from "../report/accept_document.ts";
import { renderSuites } from "../report/junit.ts";
import { accept, checkGoesOn } from "./accept.ts";
import { archiveName, checkArchiveName, encodeArchive, memberNames, RUN_LOG } from "./archive.ts";
import { ACCEPT_FLAGS } from "./flags.ts";
import { ACCEPT_LIMITS, limitsYaml, readAcceptLimits } from "./limits.ts";
import { failuresOf, renderAcceptance, renderVerification, suiteOf } from "./render.ts";
import { verifyArchive } from "./verify.ts";

type AcceptFlags = FlagValues<typeof ACCEPT_FLAGS>;

/** Two hours have a log of some 250 MB, half of what an archive may hold. */
const DURATION_MAX_S = 7_200;

export default defineCommand({
  name: "accept",
  positionals: "[...words]",
  summary: "Measure the limits of acceptance on a board, and archive the verdict with its evidence",
  details: [
    "  accept --model policy.rknn   measure, judge, and write an archive",
    "  accept verify ARCHIVE        is the archive whole, and does its verdict follow?",
    "PASS exits with 0; FAIL and INCOMPLETE, where something was not measured, with 1.",
  ],
  example: "accept --model build/policy.rknn --obs-stats inputs/obs_stats.npz --duration 10m",
  flags: ACCEPT_FLAGS,
  rivals: [
    ["powerSensor", "powerCmd"],
    ["powerSensor", "powerFile"],
    ["powerCmd", "powerFile"],
  ],
  unused: ([word]) => (word === undefined ? [] : Object.keys(ACCEPT_FLAGS)),
  async run(words, flags): Promise<CommandResult> {
    if (words.length > 0) return verify(words);
    const limits = flags.limits === undefined ? ACCEPT_LIMITS : readAcceptLimits(flags.limits);
    if (flags.printLimits) return { json: limits, text: limitsYaml(limits) };
    return measure(flags, limits);
  },
});

async function verify([word, path, ...more]: readonly string[]): Promise<CommandResult> {
  if (word !== "verify" || path === undefined || more.length > 0) {
    throw new Lite3Error(
      "USAGE",
      `Unknown action ${quote([word, path, ...more].filter(Boolean).join(" "))} for accept: need ` +
        "verify ARCHIVE, or --model policy.rknn alone",
    );
  }
  const found = await verifyArchive(path);
  const bad = found.checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
  const { document, ...json } = found;
  return {
    json: { ...json, verdict: found.sound ? (document?.verdict ?? null) : null },
    text: renderVerification(found),
    ...(bad.length > 0 && { failure: `${path} is not sound: ${bad.join("; ")}` }),
  };
}

async function measure(flags: AcceptFlags, limits: AcceptDocument["limits"]) {
  const { model, output, log, junit, duration, dataset, onnx, obsStats } = flags;
  if (model === undefined) {
    throw new Lite3Error("USAGE", "accept needs a policy: --model build/policy.rknn");
  }
  if (duration > DURATION_MAX_S) {
    throw new Lite3Error("USAGE", "--duration is too long for an archive, need at most 2h");
  }
  const inputs = [model, onnx, obsStats, dataset, flags.limits];
  checkNew(output, inputs);
  if (junit !== undefined) checkOutput(junit, inputs);
  using stop = stopOnSignals();
  const directory = makeTemporaryDirectory(tmpdir(), "lite3rl-");
  using _directory = {
    [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }),
  };
  const logPath = log ?? join(directory, RUN_LOG);
  const { document: found, serviceLog } = await accept({
    ...flags,
    model,
    limits,
    limitsPath: flags.limits,
    program: programOptions(flags),
    durationS: duration,
    timeoutMs: flags.timeout * 1000,
    npu: flags,
    logPath,
    directory,
    stop,
  });
  const runLog = existsSync(logPath) ? readFile(logPath, LIMITS.acceptanceBytes) : undefined;
  const members = { serviceLog, runLog };
  const whole = { ...found, members: memberNames(members) };
  // In the schema's order, so that whoever reads it can write the same bytes.
  const document = v.parse(acceptDocumentSchema, whole);
  const bytes = encodeArchive(document, members);
  checkGoesOn(stop);
  const path = output ?? archiveName(document);
  writeFileAtomic(path, bytes);
  if (junit !== undefined) {
    writeFileAtomic(junit, renderSuites("lite3rl accept", [suiteOf(document)]));
  }
  return conclude(document, path, sha256(bytes));
}

/** An acceptance is never written over. */
function checkNew(output: string | undefined, inputs: readonly (string | undefined)[]): void {
  if (output === undefined) return;
  checkArchiveName(output);
  checkOutput(output, inputs);
  if (!existsSync(output)) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot write the archive ${quote(output)}: it is there already, name another with --output`,
  );
}

function conclude(document: AcceptDocument, archive: string, digest: string): CommandResult {
  const { verdict, reasons, rows } = document;
  const annotations = rows.flatMap((row) =>
    failuresOf(row).map((message) => ({ title: `accept: ${row.title}`, message })),
  );
  return {
    json: { archive, sha256: digest, ...document },
    text: renderAcceptance(document, archive, digest),
    ...(verdict !== "PASS" && {
      failure: `${verdict}: ${reasons.join("; ")}`,
      ...(annotations.length > 0 && { annotations }),
    }),
  };
}
