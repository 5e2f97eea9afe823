/**
 * What a project's `lite3rl.yaml` says of its files, for verbs that must know another verb's: which
 * .onnx is exported and converted, and where the .rknn goes. A verb's own flags come from the same
 * file by the command line.
 */

import { existsSync } from "node:fs";
import { extname, join } from "node:path";
import * as v from "valibot";
import { checkYaml, readYaml } from "./yaml_file.ts";

export const PROJECT_FILE = "lite3rl.yaml";

const text = v.optional(v.string());
const figure = v.optional(v.number());
const section = <T extends v.ObjectEntries>(entries: T) =>
  v.optional(v.nullable(v.looseObject(entries)));

const ProjectFile = v.looseObject({
  model: text,
  "obs-stats": text,
  env: text,
  seed: figure,
  export: section({ checkpoint: text, config: text, output: text }),
  collect: section({ output: text }),
  convert: section({
    onnx: text,
    output: text,
    mae: figure,
    "closed-loop": v.optional(v.boolean()),
    episodes: figure,
    margins: text,
    seed: figure,
  }),
  parity: section({ model: text, mae: figure, "closed-loop": v.optional(v.boolean()) }),
});

export type ProjectSettings = v.InferOutput<typeof ProjectFile>;

/** The file of a directory; nothing where it has none. Throws CONFIG for one that is wrong. */
export function readProjectFile(directory = "."): ProjectSettings | undefined {
  const path = join(directory, PROJECT_FILE);
  return existsSync(path) ? checkYaml(path, ProjectFile, readYaml(path) ?? {}) : undefined;
}

/** What is converted: as `convert` has it, else what `export` writes; undefined if neither says. */
export const projectOnnx = ({ convert, export: exported }: ProjectSettings): string | undefined =>
  convert?.onnx ?? exported?.output;

/** Where `convert` puts the .rknn: by its output, else beside its .onnx. */
export function projectRknn({ convert }: ProjectSettings): string | undefined {
  if (convert?.output !== undefined) return convert.output;
  const onnx = convert?.onnx;
  return onnx === undefined
    ? undefined
    : `${onnx.slice(0, -extname(onnx).length || undefined)}.rknn`;
}
