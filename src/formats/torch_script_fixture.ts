/**
 * A small writer of TorchScript archives for tests, in the form of `torch.jit.save`.
 */

import { type Code, bool, call, dict, global, pickle, tuple } from "./pickle_fixture.ts";
import { bytesOf, tensorCode } from "./torch_fixture.ts";
import { writeZip } from "./zip.ts";

export interface ScriptTensor {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** A module of the tree: its class below `__torch__`, and what it holds. */
export interface ScriptParts {
  readonly className: string;
  readonly attributes?: Readonly<Record<string, ScriptTensor | ScriptParts | Code>>;
}

export interface ScriptArchive {
  readonly module: ScriptParts;
  /** Texts by file below `code/__torch__`, such as `torch/nn/functional.py`; "" for `.py`. */
  readonly code: Readonly<Record<string, string>>;
  readonly constants?: readonly ScriptTensor[];
  readonly directory?: string;
}

export function writeTorchScript(archive: ScriptArchive): Uint8Array {
  const { directory = "policy_1", constants = [] } = archive;
  const tensors: Uint8Array[] = [];
  const tree = moduleCode(archive.module, tensors);
  const constantCodes = constants.map(({ shape }, index) => tensorCode({ key: `${index}`, shape }));
  const files = {
    "data.pkl": pickle(tree),
    ...Object.fromEntries(tensors.map((bytes, index) => [`data/${index}`, bytes])),
    "constants.pkl": pickle(tuple(...constantCodes)),
    ...Object.fromEntries(
      constants.map(({ values }, index) => [`constants/${index}`, bytesOf(values)]),
    ),
    ...Object.fromEntries(
      Object.entries(archive.code).map(([path, text]) => {
        return [`code/__torch__${path === "" ? ".py" : `/${path}`}`, Buffer.from(text)];
      }),
    ),
    version: Buffer.from("3\n"),
  };
  return writeZip(
    Object.fromEntries(Object.entries(files).map(([name, file]) => [`${directory}/${name}`, file])),
  );
}

/** `Class.__new__(Class)` with its attributes: NEWOBJ and BUILD. */
function moduleCode({ className, attributes = {} }: ScriptParts, tensors: Uint8Array[]): Code {
  const name = className.slice(className.lastIndexOf(".") + 1);
  const module = ["__torch__", ...className.split(".").slice(0, -1)].join(".");
  const entries = Object.entries(attributes).map(([key, value]) => {
    if (Array.isArray(value)) return [key, value as Code] as const;
    if ("className" in value) return [key, moduleCode(value as ScriptParts, tensors)] as const;
    const { shape, values } = value as ScriptTensor;
    tensors.push(bytesOf(values));
    return [key, tensorCode({ key: `${tensors.length - 1}`, shape })] as const;
  });
  const state = dict({ training: bool(false), ...Object.fromEntries(entries) });
  return [...global(module, name), 0x29, 0x81, ...state, 0x62];
}

/** A list that keeps its type: `torch.jit._pickle.build_tensorlist([…])`. */
export function tensorList(items: Code): Code {
  return call(global("torch.jit._pickle", "build_tensorlist"), items);
}
