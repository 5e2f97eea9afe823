/**
 * A small writer of torch checkpoints for tests, in the form of `torch.save` since 1.6.
 */

import {
  type Code,
  bool,
  call,
  global,
  int,
  persistent,
  pickle,
  text,
  tuple,
} from "./pickle_fixture.ts";
import { writeZip } from "./zip.ts";

export interface TensorParts {
  readonly key: string;
  readonly shape: readonly number[];
  readonly strides?: readonly number[];
  readonly offset?: number;
  /** Of the storage; the product of `shape` if absent. */
  readonly elements?: number;
  /** `FloatStorage` if absent. */
  readonly storage?: string;
  /** Last of a legacy file's persistent id: the part of the storage, or None. */
  readonly view?: Code;
}

/** Code of `_rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())`. */
export function tensorCode(parts: TensorParts): Code {
  const { key, shape, offset = 0, storage = "FloatStorage" } = parts;
  const strides = parts.strides ?? shape.map((_, axis) => product(shape.slice(axis + 1)));
  const elements = int(parts.elements ?? product(shape));
  const view = parts.view === undefined ? [] : [parts.view];
  return call(
    global("torch._utils", "_rebuild_tensor_v2"),
    persistent(
      text("storage"),
      global("torch", storage),
      text(key),
      text("cpu"),
      elements,
      ...view,
    ),
    int(offset),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    bool(false),
    call(global("collections", "OrderedDict")),
  );
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((a, b) => a * b, 1);
}

/** A checkpoint file: the tree's code, its storages by key, and further entries by full name. */
export function writeTorch(
  root: Code,
  storages: Readonly<Record<string, Uint8Array>>,
  more: Readonly<Record<string, Uint8Array>> = {},
  directory = "archive",
): Uint8Array {
  const data = Object.entries(storages).map(([key, bytes]) => [`${directory}/data/${key}`, bytes]);
  return writeZip({
    [`${directory}/data.pkl`]: pickle(root),
    ...Object.fromEntries(data),
    [`${directory}/version`]: Buffer.from("3\n"),
    ...more,
  });
}

export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
