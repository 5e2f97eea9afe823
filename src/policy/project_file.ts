/**
 * What a project's `lite3rl.yaml` says of its files, for verbs that must know another verb's: which
 * .onnx is exported and converted, and where the .rknn goes. A verb's own flags come from the same
 * file by the command line.
 */

import { existsSync } from "node:fs";
import { dirname, extname, isAbsolute, join } from "node:path";
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
export function readProjectFile(directory: string): ProjectSettings | undefined {
  const path = join(directory, PROJECT_FILE);
  return existsSync(path) ? read(path) : undefined;
}

const read = (path: string): ProjectSettings => checkYaml(path, ProjectFile, readYaml(path) ?? {});

let current: string | undefined;

/** The file that this run goes by: the directory's, the one named, or none. */
export function setProjectFile(path: string | undefined): void {
  current = path;
}

export interface ProjectFiles {
  /** The file that says so. */
  readonly path: string;
  readonly settings: ProjectSettings;
  /** As seen from the working directory. */
  readonly model: string | undefined;
  readonly onnx: string | undefined;
  readonly rknn: string | undefined;
}

/** What the file of this run says; nothing where it goes by none. */
export function readCurrentProject(): ProjectFiles | undefined {
  if (current === undefined) return undefined;
  const path = current;
  const settings = read(path);
  const place = (name: string | undefined): string | undefined =>
    name === undefined || isAbsolute(name) || dirname(path) === "."
      ? name
      : join(dirname(path), name);
  const [model, onnx, rknn] = [settings.model, projectOnnx(settings), projectRknn(settings)].map(
    place,
  );
  return { path, settings, model, onnx, rknn };
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
