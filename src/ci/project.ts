/**
 * What a workflow has to know of a project: where it lies in its repository, the files that decide
 * what its policy is, and where the .rknn goes, by `lite3rl.yaml`.
 */

import { existsSync, realpathSync, statSync } from "node:fs";
import { dirname, isAbsolute, join, normalize, relative } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import {
  PROJECT_FILE,
  projectOnnx,
  projectRknn,
  type ProjectSettings,
  readProjectFile,
} from "../policy/project_file.ts";

export interface Project {
  /** The repository's root: the nearest directory above with a `.git`, or the project itself. */
  readonly root: string;
  /** The project's directory as seen from there; `.` for the root. */
  readonly inside: string;
  /** Files whose change means another policy, as seen from the project. */
  readonly watched: readonly string[];
  /** What the steps make outside of build/, as seen from the project; globs. */
  readonly made: readonly string[];
  /** Has it an environment to collect observations in? */
  readonly collects: boolean;
  /** How its files are accepted: by walking too, where convert does so. */
  readonly settings: ProjectSettings;
}

/** Throws NOT_FOUND where there is no project, CONFIG where it names no checkpoint or one outside. */
export function readProject(directory: string): Project {
  const settings = readProjectFile(directory);
  const place = join(directory, PROJECT_FILE);
  if (settings === undefined) {
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot write a workflow for ${quote(directory)}: it has no ${PROJECT_FILE}, need a ` +
        "project; lite3rl init makes one",
    );
  }
  const checkpoint = settings.export?.checkpoint;
  if (checkpoint === undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot use config ${quote(place)}: export.checkpoint is missing, need the policy's file`,
    );
  }
  const home = realpathSync(directory);
  const root = repositoryOf(home) ?? home;
  const isInside = (name: string): boolean =>
    !isAbsolute(name) && !relative(root, join(home, name)).startsWith("..");
  const decisive = [checkpoint, settings["obs-stats"], settings.export?.config];
  const needed = decisive.filter((name) => name !== undefined);
  const stranger = needed.find((name) => !isInside(name));
  if (stranger !== undefined) {
    throw new Lite3Error(
      "CONFIG",
      `Cannot watch ${quote(stranger)}: it is outside of the repository ${quote(root)}, ` +
        `need a path in it in ${quote(place)}`,
    );
  }
  const more = namedFiles(settings, directory).filter(isInside);
  return {
    root,
    inside: relative(root, home) || ".",
    watched: [...new Set([...needed, ...more, PROJECT_FILE])],
    made: madeFiles(settings)
      .filter((name) => isInside(name) && !isBuilt(name))
      // Its record, the toolkit's log, and what was rejected are beside it.
      .map((name) => (name === projectRknn(settings) ? `${name}*` : name)),
    collects: settings.env !== undefined,
    settings,
  };
}

/** Sections whose verbs a workflow runs. */
const SECTIONS = ["export", "collect", "convert", "parity"] as const;

const isBuilt = (name: string): boolean => normalize(name).startsWith("build/");

/** What is there of all that the file names, without what the steps make: sets, limits, modules. */
function namedFiles(settings: ProjectSettings, directory: string): string[] {
  const made = new Set(madeFiles(settings).map(normalize));
  const sections = SECTIONS.flatMap((name) => Object.values(settings[name] ?? {}));
  return [...Object.values(settings), ...sections]
    .flat()
    .filter((value) => typeof value === "string")
    .flatMap((value) => [value, ...moduleFiles(value)])
    .filter((name) => isFile(join(directory, name)))
    .filter((name) => !isBuilt(name) && !made.has(normalize(name)));
}

/** The file of `./my_env.ts:make` or `my_package.my_env:make`. */
function moduleFiles(value: string): string[] {
  const [, module = ""] = /^([^:]+):\w+$/.exec(value) ?? [];
  const path = module.replaceAll(".", "/");
  return module === "" ? [] : [module, `${path}.py`, `${path}/__init__.py`];
}

const isFile = (path: string): boolean => existsSync(path) && statSync(path).isFile();

/** What the steps make: the .onnx, the set and the .rknn. */
function madeFiles(settings: ProjectSettings): string[] {
  const exported = settings.export?.output ?? projectOnnx(settings);
  const made = [exported, settings.collect?.output, projectRknn(settings)];
  return made.filter((name) => name !== undefined);
}

function repositoryOf(place: string): string | undefined {
  if (existsSync(join(place, ".git"))) return place;
  return dirname(place) === place ? undefined : repositoryOf(dirname(place));
}
