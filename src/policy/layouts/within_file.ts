/**
 * Tensors may share a storage, and a hostile file names one a million times: what is read is held
 * against what the file has, so that memory and time stay in proportion to it.
 */

import { FormatError, quote } from "../../base/errors.ts";
import type { TorchFile } from "../../formats/torch.ts";

/** A storage's elements may be read so often in all: tied weights are read twice. */
const SHARES_MAX = 4;
/** A storage may be gone back to so often: weights in one and biases in another take turns. */
const TURNS_MAX = 64;

/** The same file, whose `load` refuses to read more than a policy could need. */
export function withinFile(file: TorchFile): TorchFile {
  const read = new Map<string, { elements: number; turns: number }>();
  let latest: string | undefined;
  return {
    root: file.root,
    load(tensor) {
      const { storageKey, storageElements, shape, folder = "data" } = tensor;
      const name = `${folder}/${storageKey}`;
      const known = read.get(name) ?? { elements: 0, turns: 0 };
      known.elements += shape.reduce((product, size) => product * size, 1);
      known.turns += latest === name ? 0 : 1;
      latest = name;
      read.set(name, known);
      if (known.elements > SHARES_MAX * storageElements || known.turns > TURNS_MAX) {
        throw new FormatError(
          `storage ${quote(storageKey)} of ${storageElements} elements is shared by too many of ` +
            "its layers, need weights of their own",
          "UNSUPPORTED",
        );
      }
      return file.load(tensor);
    },
  };
}
