/**
 * What a workflow has to know of a project: where it lies in its repository, and the files that
 * decide what its policy is, by `lite3rl.yaml`.
 */

import { existsSync, realpathSync } from "node:fs";
import { dirname, isAbsolute, join, relative } from "node:path";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { checkYaml, readYaml } from "../policy/yaml_file.ts";

const SETTINGS = "lite3rl.yaml";

/** The keys that name what the policy comes from. */
const Settings = v.object({
  "obs-stats": v.optional(v.string()),
  env: v.optional(v.string()),
  export: v.object({ checkpoint: v.string(), config: v.optional(v.string()) }),
});

export interface Project {
  /** The repository's root: the nearest directory above with a `.git`, or the project itself. */
  readonly root: string;
  /** The project's directory as seen from there; `.` for the root. */
  readonly inside: string;
  /** Files whose change means another policy, as seen from the project. */
  readonly watched: readonly string[];
  /** Has it an environment to collect observations in? */
  readonly collects: boolean;
}

/** Throws NOT_FOUND where there is no project, CONFIG where it names no checkpoint or one outside. */
export function readProject(directory: string): Project {
  const settings = join(directory, SETTINGS);
  if (!existsSync(settings)) {
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot write a workflow for ${quote(directory)}: it has no ${SETTINGS}, need a project; ` +
        "lite3rl init makes one",
    );
  }
  const { env, ...named } = checkYaml(settings, Settings, readYaml(settings));
  const { checkpoint, config } = named.export;
  const watched = [checkpoint, named["obs-stats"], config, SETTINGS].filter(
    (name) => name !== undefined,
  );
  const place = realpathSync(directory);
  const root = repositoryOf(place) ?? place;
  for (const name of watched) {
    if (!isAbsolute(name) && !relative(root, join(place, name)).startsWith("..")) continue;
    throw new Lite3Error(
      "CONFIG",
      `Cannot watch ${quote(name)}: it is outside of the repository ${quote(root)}, ` +
        `need a path in it in ${quote(settings)}`,
    );
  }
  return { root, inside: relative(root, place) || ".", watched, collects: env !== undefined };
}

function repositoryOf(place: string): string | undefined {
  if (existsSync(join(place, ".git"))) return place;
  return dirname(place) === place ? undefined : repositoryOf(dirname(place));
}
