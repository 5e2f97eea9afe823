/**
 * The files that are meant where only `onnx` or `rknn` is said: those that a project's lite3rl.yaml
 * names, else those in their usual places, and on a board the model that is in use.
 */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import { notice } from "../base/log.ts";
import { recordPath } from "../policy/conversion_record.ts";
import { readCurrentProject } from "../policy/project_file.ts";
import { findToolkit } from "../rknn_toolkit/environment.ts";
import { hasNpuLibrary, type NpuOptions } from "../runtime/open_rknn.ts";

/** Where `convert` writes in a project, beside the command line, and the board's current model. */
const PLACES = ["build", "."];
const BOARD = "/opt/models/current";

function fileIn(place: string, name: string): string {
  return place === "." ? name : `${place}/${name}`;
}

/** Where `name` may be: one place where the project's file says so, else the usual ones. */
function placesOf(name: "policy.onnx" | "policy.rknn"): readonly string[] {
  const project = readCurrentProject();
  const said = name === "policy.onnx" ? project?.onnx : project?.rknn;
  if (said !== undefined) return [said];
  // A project never speaks of the model that this machine happens to run.
  const places = project === undefined ? [...PLACES, BOARD] : PLACES;
  return places.map((place) => fileIn(place, name));
}

/** The .onnx that is meant where none is named; says which. Throws USAGE where there is none. */
export function findOnnx(spec: string): string {
  const places = placesOf("policy.onnx");
  const found = places.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw missing(spec, places, "no model named, and ", "give --model policy.onnx");
}

function missing(spec: string, places: readonly string[], begin: string, cure: string): Lite3Error {
  const [only, ...more] = places;
  const found =
    more.length === 0
      ? `there is no ${quote(only)}, which ${readCurrentProject()?.path} names`
      : `none of ${places.join(", ")} is here`;
  return new Lite3Error("USAGE", `Cannot run backend ${quote(spec)}: ${begin}${found}; ${cure}`);
}

/**
 * Is a `--model` that a file or variable says what the whole project calls its model, while the
 * same file tells more closely which .onnx is converted? That is what parity compares then.
 */
export function isOnlyServed(model: unknown): boolean {
  const project = readCurrentProject();
  if (project === undefined || project.settings.parity?.model !== undefined) return false;
  return model === project.model && project.onnx !== undefined;
}

/** What a project's .rknn is made from, where its file says so; undefined for any other .rknn. */
export function madeFrom(rknn: string): string | undefined {
  const { onnx, rknn: own } = readCurrentProject() ?? {};
  const isOwn = own !== undefined && resolve(own) === resolve(rknn);
  return isOwn && onnx !== undefined && existsSync(onnx) ? onnx : undefined;
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
  const places = placesOf("policy.rknn");
  const file = places.find((path) => existsSync(path));
  if (file === undefined) {
    throw missing("rknn", places, "", "make one with lite3rl convert, or name the file");
  }
  if (places.length === 1) {
    notice(`rknn is ${file}, convert's output in ${readCurrentProject()?.path}`);
  }
  if (file.startsWith(BOARD)) notice(`rknn is ${file}, the model of this board`);
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
