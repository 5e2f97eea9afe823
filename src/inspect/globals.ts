/**
 * Which classes and functions in a pickle are no surprise, and which are? What rebuilds tensors,
 * arrays and containers is known by its exact name, since a dotted name can lead anywhere
 * (`torch.serialization` → `os.system`); everything else is listed.
 */

import type { NamedGlobal } from "../formats/pickle_globals.ts";
import { plain } from "../base/text.ts";

/** What the tensors, arrays and containers of real checkpoints are rebuilt by. */
const RECONSTRUCTION: readonly RegExp[] = [
  /^collections\.(?:OrderedDict|defaultdict|deque|Counter)$/,
  /^torch\._utils\._rebuild_(?:tensor|tensor_v2|tensor_v3|parameter|parameter_with_state)$/,
  /^torch\.(?:[A-Z][A-Za-z0-9]*Storage|Size|device|Tensor|nn\.parameter\.Parameter)$/,
  /^torch\.storage\.(?:TypedStorage|UntypedStorage|_TypedStorage)$/,
  /^torch\.(?:b?float16|float32|float64|u?int8|int16|int32|int64|bool)$/,
  /^numpy\.(?:core|_core)\.(?:multiarray\.(?:_reconstruct|scalar)|numeric\._frombuffer)$/,
  /^numpy\.(?:ndarray|dtype|dtypes\.[A-Z][A-Za-z0-9]*DType)$/,
  /^numpy\.(?:bool_?|u?int(?:8|16|32|64)|float(?:16|32|64)|str_)$/,
  /^_codecs\.encode$/,
  /^(?:builtins|__builtin__)\.(?:set|frozenset|list|dict|tuple|int|float|complex|bool|str|bytes|bytearray|slice|range)$/,
];

/** Modules whose functions run commands or code, read or write files, or open connections. */
const POWERS = new Set(
  (
    "os posix nt subprocess sys builtins __builtin__ shutil socket pty importlib imp runpy code " +
    "codeop ctypes cffi pickle _pickle cPickle marshal types functools operator _operator " +
    "itertools webbrowser platform commands multiprocessing threading asyncio tempfile pathlib " +
    "io _io urllib urllib2 http requests ssl smtplib ftplib telnetlib inspect timeit cProfile " +
    "profile pdb bdb doctest dill cloudpickle joblib pip setuptools copyreg copy_reg signal " +
    "pydoc linecache atexit gc zipimport pkgutil codecs"
  ).split(" "),
);
const POWERFUL = /^torch\.(?:hub|load|jit|serialization|storage\._load_from_bytes)|^numpy\.load/;

/** `code`: could run something. `unknown`: a class that must be imported, whatever it does. */
export type Risk = "code" | "unknown";

export interface SuspiciousGlobal {
  readonly name: string;
  /** Byte offset in the pickle. */
  readonly offset: number;
  readonly opcode: string;
  readonly isCalled: boolean;
  readonly risk: Risk;
}

export function isReconstruction(name: string): boolean {
  return RECONSTRUCTION.some((pattern) => pattern.test(name));
}

/** What is not known to be harmless, in the order of the file. */
export function suspicious(globals: readonly NamedGlobal[]): SuspiciousGlobal[] {
  return globals
    .filter(({ name }) => !isReconstruction(name))
    .map(({ name, offset, opcode, isCalled }) => {
      return { name, offset, opcode, isCalled, risk: riskOf(name) };
    });
}

function riskOf(name: string): Risk {
  const isHidden = name === "?" || name.includes("\\") || name.startsWith("copyreg extension");
  if (isHidden) return "code";
  return POWERS.has(name.split(".")[0] ?? "") || POWERFUL.test(name) ? "code" : "unknown";
}

/** One line per global, for warnings. */
export function describeSuspicious(found: readonly SuspiciousGlobal[]): string[] {
  const shown = found.slice(0, 20).map(({ name, offset, opcode, isCalled, risk }) => {
    const use = isCalled ? "would be called" : "is named";
    const why =
      risk === "code" ? "it can run code" : "it is no part of torch, collections or numpy arrays";
    return `${plain(name)} ${use} (${opcode} at byte ${offset}): ${why}`;
  });
  const more = found.length - shown.length;
  return more > 0 ? [...shown, `and ${more} more`] : shown;
}
