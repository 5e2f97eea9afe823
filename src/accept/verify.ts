/**
 * Is an archive what `accept` wrote? Its files are those that its document names, their digests are
 * right, the gait's figures are those of its log, the verdict follows from figures and limits, and
 * the page shows this document. It is no signature: who changes a figure, judges again and writes
 * all digests anew is found only by the digest of the archive, where that was noted elsewhere.
 */

import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { describeSource, FormatError, quote } from "../base/errors.ts";
import { makeTemporaryDirectory, readFile, sha256, writeFileAtomic } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { plain } from "../base/text.ts";
import { type AcceptDocument, acceptDocumentSchema } from "../report/accept_document.ts";
import { renderAcceptPage } from "../report/accept_page.ts";
import {
  digestsOf,
  DIGESTS,
  DOCUMENT,
  documentText,
  PAGE,
  parseArchive,
  RUN_LOG,
} from "./archive.ts";
import { gaitOfLog } from "./gait_log.ts";
import { judgeAcceptance } from "./judge.ts";

export interface ArchiveCheck {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

export interface Verification {
  readonly archive: string;
  readonly sha256: string;
  readonly sound: boolean;
  readonly checks: readonly ArchiveCheck[];
  /** Of the document, where it can be read. */
  readonly document: AcceptDocument | undefined;
}

/** Throws FormatError with the file's name for what is no archive at all. */
export function verifyArchive(path: string): Promise<Verification> {
  return describeSource("Cannot verify", path, async () => {
    const bytes = readFile(path, LIMITS.acceptanceBytes);
    return { archive: path, sha256: sha256(bytes), ...verifyBytes(bytes) };
  });
}

/** The same of an archive's bytes. Throws FormatError for what is no archive at all. */
export function verifyBytes(bytes: Uint8Array): Omit<Verification, "archive" | "sha256"> {
  const files = parseArchive(bytes);
  const text = decode(files.get(DOCUMENT));
  if (text === undefined) {
    throw new FormatError(`it has no ${DOCUMENT}, need an archive that lite3rl accept wrote`);
  }
  const document = parseDocument(text);
  const checks = [
    ...checkDigests(files),
    ...(document === undefined
      ? [failed(DOCUMENT, "it is not what its schema says")]
      : checkDocument(document, text, files)),
  ];
  return { sound: checks.every(({ ok }) => ok), checks, document };
}

type Files = ReadonlyMap<string, Uint8Array>;

const passed = (name: string, detail: string): ArchiveCheck => ({ name, ok: true, detail });
const failed = (name: string, detail: string): ArchiveCheck => ({ name, ok: false, detail });

const decode = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : new TextDecoder().decode(bytes);

function parseDocument(text: string): AcceptDocument | undefined {
  try {
    const checked = v.safeParse(acceptDocumentSchema, JSON.parse(text));
    return checked.success ? checked.output : undefined;
  } catch {
    return undefined;
  }
}

/** Each file against its line, and whether a line or file is there without the other. */
function checkDigests(files: Files): ArchiveCheck[] {
  const listed = new Map(
    (decode(files.get(DIGESTS)) ?? "").split("\n").flatMap((line) => {
      const [, digest = "", name = ""] = /^([0-9a-f]{64}) {2}(\S+)$/.exec(line) ?? [];
      return name === "" ? [] : [[name, digest] as const];
    }),
  );
  const content = new Map([...files].filter(([name]) => name !== DIGESTS));
  const each = [...content].map(([name, bytes]) => {
    const digest = listed.get(name);
    if (digest === undefined) return failed(name, `${DIGESTS} does not list it`);
    const own = sha256(bytes);
    if (own === digest) return passed(name, `sha256 ${own.slice(0, 12)}…`);
    return failed(name, `sha256 is ${own.slice(0, 12)}…, ${DIGESTS} says ${digest.slice(0, 12)}…`);
  });
  const gone = [...listed.keys()]
    .filter((name) => !content.has(name))
    .map((name) => failed(plain(name), `${DIGESTS} lists it, and it is missing`));
  const isExact = decode(files.get(DIGESTS)) === digestsOf(files);
  const bad = [...each, ...gone].some(({ ok }) => !ok);
  const own = isExact || bad ? [] : [failed(DIGESTS, "it has other lines than the files' digests")];
  return [...each, ...gone, ...own];
}

function checkDocument(document: AcceptDocument, text: string, files: Files): ArchiveCheck[] {
  return [
    checkMembers(document, files),
    ...(text === documentText(document) ? [] : [failed(DOCUMENT, "it was written by hand")]),
    checkVerdict(document),
    ...checkGait(document, files.get(RUN_LOG)),
    ...checkPage(document, decode(files.get(PAGE))),
  ];
}

function checkMembers({ members }: AcceptDocument, files: Files): ArchiveCheck {
  const named = [DOCUMENT, ...members.map(({ name }) => name), DIGESTS];
  const lacking = named
    .filter((name) => !files.has(name))
    .map((name) => `${plain(name)} is missing`);
  const added = [...files.keys()].filter((name) => !named.includes(name));
  const other = members.flatMap(({ name, sha256: digest }) => {
    const content = files.get(name);
    if (content === undefined || digest === null || sha256(content) === digest) return [];
    return [`${plain(name)} is not the one of ${DOCUMENT}`];
  });
  const problems = [...lacking, ...added.map((name) => `${quote(name)} was added`), ...other];
  if (problems.length > 0) return failed("files", problems.join("; "));
  return passed("files", `${files.size}, none missing, none added`);
}

function checkVerdict(document: AcceptDocument): ArchiveCheck {
  const { measured, limits, allowMissing } = document;
  const judged = judgeAcceptance(measured, limits, allowMissing);
  const differing = (Object.keys(judged) as (keyof typeof judged)[]).filter(
    (key) => !isDeepStrictEqual(judged[key], document[key]),
  );
  if (differing.length === 0)
    return passed("verdict", `${judged.verdict} follows from the figures`);
  const found = `the document says ${document.verdict}, its figures and limits ${judged.verdict}`;
  return failed("verdict", `${found} (${differing.join(", ")} differ)`);
}

/** Figures that another machine computes are the same to some last digits. */
const RELATIVE = 1e-9;

function checkGait({ measured: { gait } }: AcceptDocument, log: Uint8Array | undefined) {
  if (gait.state !== "measured") return [];
  if (log === undefined) return [failed("gait", `there is no ${RUN_LOG} of its figures`)];
  const directory = makeTemporaryDirectory(tmpdir(), "lite3rl-verify-");
  try {
    const path = join(directory, RUN_LOG);
    writeFileAtomic(path, log);
    const { falls, ending, complete, figures, imu, series } = gait;
    const said = { falls, ending, complete, figures, imu, series };
    const place = differenceOf(said, gaitOfLog(path), "");
    if (place === undefined) return [passed("gait", `its figures are those of ${RUN_LOG}`)];
    return [failed("gait", `${place} is not what ${RUN_LOG} says`)];
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    return [failed("gait", `${RUN_LOG}: ${error.message}`)];
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Where two values differ by more than rounding; undefined where they do not. */
function differenceOf(a: unknown, b: unknown, place: string): string | undefined {
  if (typeof a === "number" && typeof b === "number") {
    return Math.abs(a - b) <= RELATIVE * Math.max(Math.abs(a), Math.abs(b)) ? undefined : place;
  }
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) {
    return a === b ? undefined : place;
  }
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const [one, two] = [a, b].map((value) => (value as Record<string, unknown>)[key]);
    const found = differenceOf(one, two, place === "" ? key : `${place}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The page is made of the document alone; another version may write it otherwise. */
function checkPage(document: AcceptDocument, page: string | undefined): ArchiveCheck[] {
  if (page === undefined) return [];
  if (document.version !== version) {
    const why = `written by lite3rl ${plain(document.version)}, this is ${version}: not compared`;
    return [passed("page", why)];
  }
  if (page === renderAcceptPage(document)) return [passed("page", "it shows this document")];
  return [failed("page", "it is not the page of this document")];
}
