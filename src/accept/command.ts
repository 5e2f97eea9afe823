/**
 * `lite3rl accept`: the words. What is measured is in `accept.ts`, the verdict in `judge.ts`.
 */

import { existsSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as v from "valibot";
import { Lite3Error, operatingError, quote } from "../base/errors.ts";
import {
  checkWritable,
  makeTemporaryDirectory,
  readFile,
  sha256,
  writeFileAtomic,
} from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { checkOutputFiles, JUNIT_XML } from "../base/output_files.ts";
import { stopOnSignals } from "../base/stop.ts";
import { type CommandResult, defineCommand, type FlagValues } from "../cli/command.ts";
import { programOptions } from "../cli/program_flags.ts";
import { type AcceptDocument, acceptDocumentSchema } from "../report/accept_document.ts";
import { renderSuites } from "../report/junit.ts";
import { verdictLine } from "../report/verdict_line.ts";
import { accept, checkGoesOn } from "./accept.ts";
import {
  archiveName,
  checkArchiveName,
  encodeArchive,
  describeMembers,
  type Members,
  RUN_LOG,
} from "./archive.ts";
import { ACCEPT_FLAGS } from "./flags.ts";
import { ACCEPT_LIMITS, limitsYaml, readAcceptLimits } from "./limits.ts";
import { failuresOf, renderAcceptance, renderVerification, suiteOf } from "./render.ts";
import { type Verification, verifyArchive, verifyBytes } from "./verify.ts";

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
    "verify exits with 0 for a sound archive whatever its verdict, 1 for one that was changed,",
    "3 where there is none, 4 for a file that is none.",
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
    json: {
      ...json,
      verdict: found.sound ? (document?.verdict ?? null) : null,
      verdictLine: found.sound && document !== undefined ? verdictLine(document) : null,
    },
    text: renderVerification(found),
    ...(bad.length > 0 && { failure: `${path} is not sound: ${bad.join("; ")}` }),
  };
}

async function measure(flags: AcceptFlags, limits: AcceptDocument["limits"]) {
  const { model, log, duration, dataset, onnx, obsStats } = flags;
  if (model === undefined) {
    throw new Lite3Error("USAGE", "accept needs a policy: --model build/policy.rknn");
  }
  if (duration > DURATION_MAX_S) {
    throw new Lite3Error("USAGE", "--duration is too long for an archive, need at most 2h");
  }
  checkOutputs(flags, [model, onnx, obsStats, dataset, flags.limits, flags.powerFile]);
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
  const whole = { ...found, members: describeMembers(members) };
  // In the schema's order, so that whoever reads it can write the same bytes.
  const document = v.parse(acceptDocumentSchema, whole);
  checkGoesOn(stop);
  return conclude(document, keep(document, members, flags));
}

/** What of a finished acceptance could be kept, and what not: nothing takes its document away. */
interface Kept {
  readonly archive?: string;
  readonly sha256?: string;
  readonly failure?: Lite3Error;
}

function keep(document: AcceptDocument, members: Members, { output, junit }: AcceptFlags): Kept {
  const archive = output ?? archiveName(document);
  try {
    if (junit !== undefined) {
      const xml = renderSuites("lite3rl accept", [suiteOf(document)]);
      writeFileAtomic(junit, xml, "--junit");
    }
    const bytes = encodeArchive(document, members);
    checkSound(verifyBytes(bytes));
    writeFileAtomic(archive, bytes);
    return { archive, sha256: sha256(bytes) };
  } catch (error) {
    return { failure: operatingError(error) };
  }
}

/** What is written has been verified, as its reader will. */
function checkSound({ checks }: Pick<Verification, "checks">): void {
  const bad = checks.filter(({ ok }) => !ok).map(({ name, detail }) => `${name}: ${detail}`);
  if (bad.length === 0) return;
  throw new Lite3Error("BUG", `Cannot archive what would not verify: ${bad.join("; ")}`);
}

/** Before any work: an acceptance and a log are never written over, and each place takes a file. */
function checkOutputs(
  { output, log, junit }: AcceptFlags,
  inputs: readonly (string | undefined)[],
): void {
  if (output !== undefined) checkArchiveName(output);
  const outputs = [
    { path: output ?? ARCHIVE_HERE, flag: "--output" },
    { path: log, flag: "--log" },
    { path: junit, flag: "--junit", kind: JUNIT_XML },
  ];
  checkOutputFiles(outputs, inputs);
  checkNew("archive", "--output", output);
  checkNew("log", "--log", log);
  for (const { path, flag } of outputs) if (path !== undefined) checkWritable(path, flag);
}

/** Where the archive goes that has no name yet. */
const ARCHIVE_HERE = "acceptance.tar.gz";

function checkNew(what: string, flag: string, path: string | undefined): void {
  if (path === undefined || !existsSync(path)) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot write the ${what} ${quote(path)}: it is there already, name another with ${flag}`,
  );
}

function conclude(document: AcceptDocument, { archive, sha256, failure }: Kept): CommandResult {
  const { verdict, reasons, rows } = document;
  const annotations = rows.flatMap((row) =>
    failuresOf(row).map((message) => ({ title: `accept: ${row.title}`, message })),
  );
  return {
    json: {
      ...(archive !== undefined && { archive }),
      ...(sha256 !== undefined && { sha256 }),
      ...document,
    },
    text: renderAcceptance(document, archive && `${archive}: sha256 ${sha256}`),
    ...(verdict !== "PASS" && {
      failure: `${verdict}: ${reasons.join("; ")}`,
      ...(annotations.length > 0 && { annotations }),
    }),
    ...(failure !== undefined && {
      failure: failure.message,
      failureCode: failure.code,
      annotations: [...annotations, { title: "accept", message: failure.message }],
    }),
  };
}
