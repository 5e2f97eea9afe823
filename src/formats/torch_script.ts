/**
 * TorchScript archives (`torch.jit.save`): a zip archive with one directory of any name, which
 * holds `data.pkl` (the tree of modules, each an object of a class `__torch__.…`), `data/<key>`,
 * `constants.pkl` with `constants/<key>`, and the code of the classes as `code/__torch__/….py`.
 *
 * What comes out is data: modules with their attributes, tensors, and the syntax trees of the
 * methods that somebody asks for. Nothing is executed.
 */

import { FormatError, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { type PickleValue, isOpaque } from "./pickle.ts";
import { findTorchDirectory, isTorchScript, readTorchTree, torchLoader } from "./torch.ts";
import { type Definition, type Method, findDefinitions, parseMethod } from "./torch_script_code.ts";
import type { TorchFile, TorchStorage, TorchTensor, TorchValue } from "./torch_tensor.ts";
import type { ZipArchive } from "./zip.ts";

/** A module of the tree: an object that was not made. */
export interface ScriptModule {
  readonly kind: "module";
  /** `__torch__.torch.nn.modules.linear.Linear`, with a mangled part where names collide. */
  readonly className: string;
  readonly attributes: ReadonlyMap<string, TorchValue>;
}

export interface TorchScriptFile extends TorchFile {
  readonly module: ScriptModule;
  /** What code calls `CONSTANTS.c0`, `CONSTANTS.c1`, …. */
  readonly constants: readonly TorchValue[];
  /**
   * A method (`__torch__.Policy.forward`) or function (`__torch__.torch.nn.functional.elu`) by its
   * whole name; undefined if there is none. Throws FormatError for code that is not understood.
   */
  method(name: string): Method | undefined;
}

/** Whether `torch.jit.save` wrote this archive. */
export function isTorchScriptArchive(zip: ZipArchive): boolean {
  const isTree = (name: string): boolean => /^[^/]+\/data\.pkl$/.test(name);
  return [...zip.entries.keys()].some(isTree) && isTorchScript(zip, findTorchDirectory(zip));
}

/** Reads the modules; the source of the archive must stay open for `load` and `method`. */
export function readTorchScript(zip: ZipArchive): TorchScriptFile {
  const directory = findTorchDirectory(zip);
  const root = readTorchTree(zip, directory, "data", reduceList);
  const module = asModule(root);
  if (module === undefined) {
    throw new FormatError(`entry ${quote(`${directory}data.pkl`)} is no module of TorchScript`);
  }
  const constants = zip.entries.has(`${directory}constants.pkl`)
    ? readTorchTree(zip, directory, "constants", reduceList)
    : [];
  const code = new Map<string, ReadonlyMap<string, Definition>>();
  let codeBytes = 0;
  const methods = new Map<string, Method>();
  return {
    root,
    module,
    constants: Array.isArray(constants) ? (constants as readonly TorchValue[]) : [],
    load: torchLoader(zip, directory),
    method(name) {
      const known = methods.get(name);
      if (known !== undefined) return known;
      for (const file of candidates(zip, directory, name)) {
        let definitions = code.get(file);
        if (definitions === undefined) {
          definitions = readCode(zip, file, LIMITS.codeBytes - codeBytes);
          codeBytes += zip.entries.get(file)?.bytes ?? 0;
          code.set(file, definitions);
        }
        const definition = definitions.get(name.slice(moduleName(directory, file).length + 1));
        if (definition === undefined) continue;
        const method = parseMethod(file.slice(directory.length), definition);
        methods.set(name, method);
        return method;
      }
      return undefined;
    },
  };
}

/** An object of the tree as a module; undefined for anything else. */
export function asModule(value: TorchValue | undefined): ScriptModule | undefined {
  if (value === undefined || !isOpaque(value) || !value.global.startsWith("__torch__.")) {
    return undefined;
  }
  const attributes = new Map<string, TorchValue>();
  if (value.state instanceof Map) {
    for (const [key, entry] of value.state as ReadonlyMap<TorchValue, TorchValue>) {
      if (typeof key === "string") attributes.set(key, entry);
    }
  }
  return { kind: "module", className: value.global, attributes };
}

/** Lists keep their type by a call of torch.jit._pickle. */
function reduceList(
  global: string,
  args: readonly PickleValue<TorchTensor | TorchStorage>[],
): TorchValue | undefined {
  const isList = /^torch\.jit\._pickle\.(?:build_\w+list|restore_type_tag)$/.test(global);
  return isList && Array.isArray(args[0]) ? args[0] : undefined;
}

/** The files that can hold `a.b.C.forward`: a/b/C.py, a/b.py, a.py. */
function* candidates({ entries }: ZipArchive, directory: string, name: string): Generator<string> {
  if (name.length > LIMITS.pickleNameLength) return;
  const parts = name.split(".");
  for (let length = parts.length - 1; length > 0; length--) {
    const file = `${directory}code/${parts.slice(0, length).join("/")}.py`;
    if (entries.has(file)) yield file;
  }
}

function moduleName(directory: string, file: string): string {
  return file.slice(`${directory}code/`.length, -".py".length).replaceAll("/", ".");
}

function readCode(
  zip: ZipArchive,
  file: string,
  bytesMax: number,
): ReadonlyMap<string, Definition> {
  const text = new TextDecoder().decode(zip.read(file, bytesMax));
  const definitions = new Map<string, Definition>();
  for (const definition of findDefinitions(text)) {
    const { name, line } = definition;
    if (definitions.has(name)) {
      throw new FormatError(`entry ${quote(file)}, line ${line}: ${quote(name)} is there twice`);
    }
    definitions.set(name, definition);
  }
  return definitions;
}
