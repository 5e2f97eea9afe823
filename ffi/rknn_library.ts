/**
 * librknnrt, loaded from where it was installed, and one model's context in it.
 *
 * The library crashes its process on a context that it does not know, on a second destroy and on
 * null buffers; it may hang, and it may call abort(). So contexts are used through `RknnContext`,
 * which makes no call after a failure to load or a destroy, and all of it belongs into a process
 * of its own (`src/runtime/isolated.ts`).
 */

import { type ConvertFns, dlopen, type Pointer } from "bun:ffi";
import { existsSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { assert } from "../src/base/assert.ts";
import { Lite3Error, quote } from "../src/base/errors.ts";
import { openFile } from "../src/base/files.ts";
import {
  DOUBLE_SYMBOL,
  OPTIONAL_SYMBOLS,
  PerfRun,
  QUERY,
  REQUIRED_SYMBOLS,
  SdkVersion,
  STATUS,
  TensorMem,
} from "./rknn_api.ts";
import { memoryAt, recordAt, Records } from "./struct.ts";

/** The first of these that is there is taken; never the working directory. */
export const LIBRARY_DIRECTORIES = [
  "/usr/lib",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/local/lib",
] as const;
export const LIBRARY_NAME = "librknnrt.so";
export const LIBRARY_VARIABLE = "LITE3RL_LIBRKNNRT";

/** A call into the library that gave a status below zero, with what it means and what mends it. */
export class NativeError extends Lite3Error {
  override readonly name = "NativeError";
  readonly call: string;
  readonly status: number;
  readonly statusName: string;
  readonly because: string;
  readonly cure: string;

  /** @param found what is known beyond the status; `said` is the library's last line. */
  constructor(
    call: string,
    status: number,
    found?: { because: string; cure: string; said?: string | undefined },
  ) {
    const known = STATUS[status];
    const statusName = known?.name ?? "an unknown status";
    const because = found?.because ?? known?.cause ?? "no version documents it";
    const cure = found?.cure ?? known?.cure ?? "RKNN_LOG_LEVEL=4 has the library say more";
    const said = found?.said === undefined ? "" : ` (it said ${quote(found.said)})`;
    super(
      "NATIVE",
      `The NPU library's ${call} gave ${status} (${statusName})${said}: ${because}; ${cure}`,
    );
    this.call = call;
    this.status = status;
    this.statusName = statusName;
    this.because = because;
    this.cure = cure;
  }
}

export interface RknnLibrary {
  readonly path: string;
  /** What the test double calls itself; undefined for the vendor's library. */
  readonly double: string | undefined;
  /** Which of `OPTIONAL_SYMBOLS` it has. */
  readonly optional: readonly string[];
  readonly symbols: ConvertFns<typeof REQUIRED_SYMBOLS>;
}

/**
 * Where the library is: the path of the flag, of `LITE3RL_LIBRKNNRT`, or in a system directory;
 * undefined if there is none. A path that was named must be there; it is made absolute, since the
 * linker would search for a relative one.
 */
export function findRknnLibrary(
  flag: string | undefined,
  directories: readonly string[] = LIBRARY_DIRECTORIES,
): string | undefined {
  const variable = process.env[LIBRARY_VARIABLE] || undefined;
  const named = flag ?? variable;
  if (named === undefined) {
    return directories.map((place) => join(place, LIBRARY_NAME)).find((file) => existsSync(file));
  }
  const path = resolve(named);
  if (!existsSync(path)) {
    // The variable is also where the flag's value comes from if nobody wrote it.
    const origin = named === variable ? LIBRARY_VARIABLE : "--librknnrt";
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot load the NPU library ${quote(path)}: there is no such file, ` +
        `need librknnrt.so there (${origin})`,
    );
  }
  return path;
}

/** Loads the library. Throws NATIVE when it is for another machine, or lacks a function. */
export function openRknnLibrary(path: string): RknnLibrary {
  assert(isAbsolute(path), "dlopen would search for a relative path");
  return {
    path,
    double: doubleVersion(path),
    optional: Object.keys(OPTIONAL_SYMBOLS).filter((symbol) => hasSymbol(path, symbol)),
    symbols: openRequired(path),
  };
}

function openRequired(path: string): RknnLibrary["symbols"] {
  try {
    return dlopen(path, REQUIRED_SYMBOLS).symbols;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const cannot = `Cannot load the NPU library ${quote(path)}`;
    if (code === "ERR_DLOPEN_FAILED") {
      throw new Lite3Error(
        "NATIVE",
        `${cannot}: ${foreignMachine(path) ?? linkerReason(path, message)}, ` +
          "need librknnrt.so for linux-aarch64 and what it is linked to: lite3rl doctor",
        { cause: error },
      );
    }
    const lacking = Object.keys(REQUIRED_SYMBOLS).filter((symbol) => !hasSymbol(path, symbol));
    throw new Lite3Error(
      "NATIVE",
      `${cannot}: it lacks ${lacking.join(", ")}, need librknnrt 1.4.0 or newer`,
      { cause: error },
    );
  }
}

/** ELF's e_machine, at byte 18. */
const MACHINES: Readonly<Record<number, string>> = { 3: "x86", 40: "arm", 62: "x64", 183: "arm64" };

/** The linker calls a library for another machine missing. */
function foreignMachine(path: string): string | undefined {
  using source = openFile(path);
  const header = source.read(0, Math.min(20, source.size));
  if (Buffer.from(header).toString("latin1", 0, 4) !== "\x7fELF") return "it is no ELF library";
  const machine = MACHINES[(header[18] ?? 0) | ((header[19] ?? 0) << 8)] ?? "another machine";
  return machine === process.arch ? undefined : `it is for ${machine}, but this is ${process.arch}`;
}

/** What the linker says, without the path that it repeats. */
function linkerReason(path: string, message: string): string {
  return message.replaceAll(`${path}: `, "").replace(/^Failed to open library "[^"]*": /, "");
}

function hasSymbol(path: string, symbol: string): boolean {
  try {
    dlopen(path, { [symbol]: { args: [], returns: "void" } });
    return true;
  } catch {
    return false;
  }
}

function doubleVersion(path: string): string | undefined {
  if (!hasSymbol(path, DOUBLE_SYMBOL)) return undefined;
  const double = { [DOUBLE_SYMBOL]: { args: [], returns: "cstring" } } as const;
  return String(dlopen(path, double).symbols[DOUBLE_SYMBOL]());
}

/** Memory of the library's for one input or output. */
export interface RknnMemory {
  readonly address: Pointer | bigint;
  /** The NPU's own bytes; gone once the context is destroyed. */
  readonly data: ArrayBuffer;
}

/** One loaded model. Every call that fails throws NativeError; after a destroy none is made. */
export class RknnContext implements Disposable {
  readonly library: RknnLibrary;
  #context: bigint | undefined;
  readonly #memories: RknnMemory[] = [];

  /** Loads a model from its bytes, which the library copies. */
  constructor(library: RknnLibrary, model: Uint8Array, flags: number) {
    this.library = library;
    const out = new BigUint64Array(1);
    const { rknn_init: init, rknn_destroy: destroy } = library.symbols;
    const status = init(out, model, model.length, flags, null);
    const [context = 0n] = out;
    if (status < 0) {
      // A load that failed half-way leaves a context behind, which is destroyed and not used.
      if (context !== 0n) destroy(context);
      throw new NativeError("rknn_init", status);
    }
    this.#context = context;
  }

  /** Fills the records; `index` fields that choose a tensor are set by the caller. */
  query<R extends { readonly bytes: Uint8Array }>(command: number, records: R): R {
    const { bytes } = records;
    const { rknn_query: query } = this.library.symbols;
    check("rknn_query", query(this.#open(), command, bytes, bytes.length));
    return records;
  }

  /** Versions of library and driver, as the library tells them. */
  versions(): { readonly api: string; readonly driver: string } {
    const found = this.query(QUERY.SDK_VERSION, new Records(SdkVersion));
    return { api: found.get("api_version"), driver: found.get("drv_version") };
  }

  /** Microseconds that the library says its last run took. */
  lastRunUs(): number {
    return Number(this.query(QUERY.PERF_RUN, new Records(PerfRun)).get("run_duration"));
  }

  setCoreMask(mask: number): void {
    check("rknn_set_core_mask", this.library.symbols.rknn_set_core_mask(this.#open(), mask));
  }

  setInputs(inputs: { readonly count: number; readonly bytes: Uint8Array }): void {
    const { rknn_inputs_set: set } = this.library.symbols;
    check("rknn_inputs_set", set(this.#open(), inputs.count, inputs.bytes));
  }

  run(): void {
    check("rknn_run", this.library.symbols.rknn_run(this.#open(), null));
  }

  /** Copies outputs into the buffers that the records name; only after a run that succeeded. */
  getOutputs(outputs: { readonly count: number; readonly bytes: Uint8Array }): void {
    const context = this.#open();
    const { rknn_outputs_get: get, rknn_outputs_release: release } = this.library.symbols;
    check("rknn_outputs_get", get(context, outputs.count, outputs.bytes, null));
    check("rknn_outputs_release", release(context, outputs.count, outputs.bytes));
  }

  /** Memory that the NPU reads or writes itself. */
  createMemory(bytes: number): RknnMemory {
    const address = this.library.symbols.rknn_create_mem(this.#open(), bytes);
    if (address === null) throw new NativeError("rknn_create_mem", -4);
    const record = recordAt(TensorMem, address);
    const memory = { address, data: memoryAt(record.get("virt_addr"), record.get("size")) };
    this.#memories.push(memory);
    return memory;
  }

  /** Ties memory to the input or output that `attributes` describe. */
  setMemory(memory: RknnMemory, attributes: { readonly bytes: Uint8Array }): void {
    const { rknn_set_io_mem: set } = this.library.symbols;
    check("rknn_set_io_mem", set(this.#open(), memory.address, attributes.bytes));
  }

  /** Memories first: the library wants its context for them. */
  [Symbol.dispose](): void {
    const context = this.#context;
    if (context === undefined) return;
    this.#context = undefined;
    for (const { address } of this.#memories) {
      this.library.symbols.rknn_destroy_mem(context, address);
    }
    this.library.symbols.rknn_destroy(context);
  }

  #open(): bigint {
    assert(this.#context !== undefined, "the context is destroyed");
    return this.#context;
  }
}

function check(call: string, status: number): void {
  if (status < 0) throw new NativeError(call, status);
}
