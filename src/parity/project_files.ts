/**
 * The files that are meant where only `onnx` or `rknn` is said: those of a project, or on a board
 * the model that is in use.
 */

import { existsSync } from "node:fs";
import { Lite3Error } from "../base/errors.ts";
import { recordPath } from "../policy/conversion_record.ts";
import { findToolkit } from "../rknn_toolkit/environment.ts";
import { hasNpuLibrary, type NpuOptions } from "../runtime/open_rknn.ts";

/** Where `convert` writes in a project, beside the command line, and the board's current model. */
const PLACES = ["build", ".", "/opt/models/current"];

export const PROJECT_MODELS = PLACES.map((place) => fileIn(place, "policy.onnx"));
const PROJECT_RKNNS = PLACES.map((place) => fileIn(place, "policy.rknn"));

function fileIn(place: string, name: string): string {
  return place === "." ? name : `${place}/${name}`;
}

export interface NamedSides {
  readonly sides: readonly string[];
  /** The toolkit's simulator, where it joins for a file. */
  readonly joins?: { readonly side: string; readonly file: string };
}

/**
 * The sides with `rknn` as the file that it means. Without an NPU that file is emulated with its
 * own weights; an installed toolkit's simulator joins, where the file's record has its recipe.
 * Throws USAGE where there is no such file.
 */
export function nameRknn(sides: readonly string[], npu: NpuOptions): NamedSides {
  if (!sides.includes("rknn")) return { sides };
  const file = PROJECT_RKNNS.find((path) => existsSync(path));
  if (file === undefined) {
    throw new Lite3Error(
      "USAGE",
      `Cannot run backend "rknn": none of ${PROJECT_RKNNS.join(", ")} is here; ` +
        "make one with lite3rl convert, or name the file",
    );
  }
  const named = sides.map((side) => (side === "rknn" ? file : side));
  const joins =
    named.length > 1 &&
    !hasNpuLibrary(npu) &&
    existsSync(recordPath(file)) &&
    findToolkit() !== undefined;
  if (!joins) return { sides: named };
  const side = `toolkit:${file}`;
  return { sides: [...named, side], joins: { side, file } };
}
