/**
 * What kind of file is it? By its content: names lie, and a checkpoint is called .pt, .pth, .zip,
 * .pkl or .tar. Reads the beginning, of a zip its directory, and of what may be an old pickle the
 * whole, at most `LIMITS.pickleBytes`.
 */

import type { ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { contentKind } from "../formats/content_kind.ts";
import { listGlobals } from "../formats/pickle_globals.ts";
import { isTorchLegacy } from "../formats/torch_legacy.ts";
import { isZip, openZip, type ZipArchive } from "../formats/zip.ts";
import type { FileKind } from "./finding.ts";

/** First opcode of a pickle since protocol 2; its argument is the protocol. */
const PROTO = 0x80;
/** Where `ustar` stands in a tar (POSIX.1-1988): torch before 0.1.10 saved those. */
const TAR_OFFSET = 257;

/** The kind, or undefined for a file that is none of ours. Throws FormatError for a broken zip. */
export async function detectKind(source: ByteSource): Promise<FileKind | undefined> {
  const bytes = source.read(0, Math.min(source.size, 512));
  const start = Buffer.from(bytes).toString("latin1");
  if (isZip(source)) return zipKind(await openZip(source));
  const kind = contentKind(bytes);
  if (kind === "rknn" || kind === "npy") return kind;
  if (isTorchLegacy(source) || isTar(start)) return "checkpoint";
  if (bytes[0] === PROTO && [2, 3, 4, 5].includes(bytes[1] ?? 0)) return "pickle";
  if (looksLikeOnnx(source)) return "onnx";
  return looksLikeOldPickle(source, start) ? "pickle" : undefined;
}

export const isTar = (start: string): boolean => start.startsWith("ustar", TAR_OFFSET);

function zipKind({ entries }: ZipArchive): FileKind | undefined {
  const names = [...entries.keys()];
  if (names.includes("policy.pth") || names.some((name) => /^[^/]+\/data\.pkl$/.test(name))) {
    return "checkpoint";
  }
  return names.length > 0 && names.every((name) => name.endsWith(".npy")) ? "npz" : undefined;
}

/** ModelProto's fields and their wire types: 0 varint, 2 length-delimited. */
const MODEL_FIELDS: ReadonlyMap<number, number> = new Map([
  ...[1, 5].map((field) => [field, 0] as const),
  ...[2, 3, 4, 6, 7, 8, 14, 20, 25, 26].map((field) => [field, 2] as const),
]);
const GRAPH_FIELD = 7;
const FIELDS_MAX = 1_000;

/**
 * Protobuf has no magic: goes over the fields of the outermost message. A graph beside another
 * field of a model is taken for one even if the file ends too early, so that the decoder can say
 * where.
 */
function looksLikeOnnx(source: ByteSource): boolean {
  const seen = new Set<number>();
  let at = 0;
  for (let fields = 0; at < source.size && fields < FIELDS_MAX; fields++) {
    const head = source.read(at, Math.min(11, source.size - at));
    const tag = readVarint(head, 0);
    const field = tag.value >>> 3;
    if (MODEL_FIELDS.get(field) !== (tag.value & 7)) break;
    const { value, end } = readVarint(head, tag.end);
    seen.add(field);
    at += end + ((tag.value & 7) === 2 ? value : 0);
  }
  return seen.has(GRAPH_FIELD) && (seen.size > 1 || at === source.size);
}

/** A varint of at most 5 bytes, which every length of a message has. */
function readVarint(bytes: Uint8Array, at: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    const byte = bytes[at + i] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  return { value, end: at + 5 };
}

/** First opcodes of what protocols 0 and 1 write: text, so a scan must bear it out. */
const OLD_OPCODES = /^[(\])}cIJKMLFGSTUVXNl]/;

function looksLikeOldPickle(source: ByteSource, start: string): boolean {
  if (!OLD_OPCODES.test(start) || source.size > LIMITS.pickleBytes) return false;
  const { globals, problem, consumed } = listGlobals(source.read(0, source.size));
  const isWhole = problem === undefined && consumed === source.size;
  return isWhole || globals.some(({ isCalled }) => isCalled);
}
