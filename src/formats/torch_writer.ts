/**
 * Writes checkpoints of float32 tensors in the form of `torch.save` since 1.6: a zip archive whose
 * entries are stored, `archive/data.pkl` with the tree and `archive/data/<key>` with one storage
 * per tensor. `torch.load` takes them with `weights_only=True`, since the pickle names nothing but
 * tensors, float storages and OrderedDict.
 */

import { assert } from "../base/assert.ts";
import {
  type Code,
  bool,
  call,
  dict,
  global,
  int,
  persistent,
  pickle,
  text,
  tuple,
} from "./pickle_writer.ts";
import { countElements } from "./tensor.ts";
import { writeZip } from "./zip.ts";

export interface SavedTensor {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly values: Float32Array;
}

/** What the archive is called inside, by torch and by us. */
const DIRECTORY = "archive";

/** `torch.save(state_dict)`; the same tensors give the same bytes. */
export function writeStateDict(tensors: Readonly<Record<string, SavedTensor>>): Uint8Array {
  const entries = Object.entries(tensors);
  const root = dict(
    Object.fromEntries(entries.map(([name, { shape }], key) => [name, tensorCode(key, shape)])),
  );
  const storages = entries.map(([name, { shape, values }], key) => {
    assert(
      countElements(shape) === values.length,
      `the shape of ${name} is not that of its values`,
    );
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return [`${DIRECTORY}/data/${key}`, bytes] as const;
  });
  return writeZip({
    [`${DIRECTORY}/data.pkl`]: pickle(root),
    [`${DIRECTORY}/byteorder`]: Buffer.from("little"),
    ...Object.fromEntries(storages),
    [`${DIRECTORY}/version`]: Buffer.from("3\n"),
  });
}

/** `_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, backward_hooks)`. */
function tensorCode(key: number, shape: readonly number[]): Code {
  const strides = shape.map((_, axis) => countElements(shape.slice(axis + 1)));
  return call(
    global("torch._utils", "_rebuild_tensor_v2"),
    persistent(
      text("storage"),
      global("torch", "FloatStorage"),
      text(`${key}`),
      text("cpu"),
      int(countElements(shape)),
    ),
    int(0),
    tuple(...shape.map(int)),
    tuple(...strides.map(int)),
    bool(false),
    call(global("collections", "OrderedDict")),
  );
}
