/**
 * The archive of an acceptance: `acceptance-<version>-<time>.tar.gz` with the page, the document,
 * the run's log, the service's log and the digests of them all, as `sha256sum` writes and checks
 * them. The same content gives the same bytes.
 */

import { basename } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { FormatError, Lite3Error, quote } from "../base/errors.ts";
import { sha256 } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { encodeTar, parseTar } from "../formats/tar.ts";
import type { AcceptDocument } from "../report/accept_document.ts";
import { renderAcceptPage } from "../report/accept_page.ts";

export const DOCUMENT = "report.json";
export const PAGE = "report.html";
export const RUN_LOG = "run.mcap";
export const SERVICE_LOG = "service.log";
export const DIGESTS = "SHA256SUMS";

/** `acceptance-0.1.0-20260901T123305Z.tar.gz`, in UTC. */
export function archiveName({ version, startedAt }: Pick<AcceptDocument, "version" | "startedAt">) {
  const time = startedAt.replace(/\.\d+/, "").replaceAll(/[-:]/g, "");
  return `acceptance-${version}-${time}.tar.gz`;
}

/** What is archived besides the document, which names it. */
export interface Members {
  readonly serviceLog: string;
  /** Undefined where no run was logged. */
  readonly runLog: Uint8Array | undefined;
}

/** The document binds its evidence by digest; the page is made of the document. */
export function describeMembers({ serviceLog, runLog }: Members): AcceptDocument["members"] {
  return [
    { name: PAGE, sha256: null },
    ...(runLog === undefined ? [] : [{ name: RUN_LOG, sha256: sha256(runLog) }]),
    { name: SERVICE_LOG, sha256: sha256(bytesOf(serviceLog)) },
  ];
}

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export const documentText = (document: AcceptDocument): string =>
  `${JSON.stringify(document, null, 1)}\n`;

/** The archive's bytes. Throws TOO_LARGE for what could not be read again. */
export function encodeArchive(document: AcceptDocument, { serviceLog, runLog }: Members) {
  const files = new Map<string, Uint8Array>([
    [DOCUMENT, bytesOf(documentText(document))],
    [PAGE, bytesOf(renderAcceptPage(document))],
    ...(runLog === undefined ? [] : [[RUN_LOG, runLog] as const]),
    [SERVICE_LOG, bytesOf(serviceLog)],
  ]);
  files.set(DIGESTS, bytesOf(digestsOf(files)));
  const tar = encodeTar(files);
  if (tar.length > LIMITS.acceptanceBytes) {
    throw new Lite3Error(
      "TOO_LARGE",
      `Cannot archive ${tar.length} bytes: at most ${LIMITS.acceptanceBytes} are taken; ` +
        "a shorter --duration has a shorter log",
    );
  }
  return new Uint8Array(gzipSync(tar));
}

/** Lines of `sha256sum`, in the order of the files. */
export function digestsOf(files: ReadonlyMap<string, Uint8Array>): string {
  return [...files]
    .filter(([name]) => name !== DIGESTS)
    .map(([name, content]) => `${sha256(content)}  ${name}\n`)
    .join("");
}

/** The files of an archive. Throws FormatError for a damaged or hostile one. */
export function parseArchive(bytes: Uint8Array): Map<string, Uint8Array> {
  let tar: Uint8Array;
  try {
    tar = gunzipSync(bytes, { maxOutputLength: LIMITS.acceptanceBytes });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") {
      const found = `it unpacks to more than ${LIMITS.acceptanceBytes} bytes`;
      throw new FormatError(found, "TOO_LARGE");
    }
    throw new FormatError(`it is no whole gzip: ${(error as Error).message}`);
  }
  try {
    return parseTar(tar);
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new FormatError(
      `${error.message}; only the bytes that accept wrote verify, not an archive packed again`,
    );
  }
}

/** Refuses a file of another name than archives have, before any work. */
export function checkArchiveName(path: string): void {
  if (/\.t(?:ar\.)?gz$/.test(path)) return;
  throw new Lite3Error(
    "USAGE",
    `Cannot write the archive ${quote(basename(path))}: need a name that ends in .tar.gz`,
  );
}
