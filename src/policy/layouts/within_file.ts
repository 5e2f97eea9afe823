/**
 * Tensors may share a storage, and a hostile file names one a million times: what is read is held
 * against what the file has, so that memory and time stay in proportion to it.
 */

import { FormatError, quote } from "../../base/errors.ts";
import { LIMITS } from "../../base/limits.ts";
import type { TorchFile, TorchTensor } from "../../formats/torch.ts";

/** A storage's elements may be read so often in all: tied weights are read twice. */
const SHARES_MAX = 4;
/** A storage may be gone back to so often: weights in one and biases in another take turns. */
const TURNS_MAX = 64;

/** The same file, whose `load` refuses to read more than a policy could need. */
export function withinFile(file: TorchFile): TorchFile {
  const read = new Map<string, { elements: number; turns: number }>();
  let latest: string | undefined;
  let repeated = 0;
  return {
    root: file.root,
    load(tensor) {
      const { storageKey, storageElements, folder = "data" } = tensor;
      const name = `${folder}/${storageKey}`;
      const known = read.get(name) ?? { elements: 0, turns: 0 };
      const { own, all } = countOwn(tensor);
      known.elements += own;
      repeated += all - own;
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
      if (repeated > LIMITS.expandedElements) {
        throw new FormatError(
          `expanded tensors repeat more than ${LIMITS.expandedElements} elements, need weights ` +
            "of their own (contiguous())",
          "TOO_LARGE",
        );
      }
      return file.load(tensor);
    },
  };
}

/** Elements of a view, and those of them that a stride of 0 does not repeat. */
function countOwn({ shape, strides }: TorchTensor): { own: number; all: number } {
  const product = (sizes: readonly number[]): number => sizes.reduce((a, b) => a * b, 1);
  const own = product(shape.filter((_, axis) => strides[axis] !== 0));
  return { own, all: product(shape) };
}
