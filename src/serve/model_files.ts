/**
 * The files that an engine opens, followed through links: `/opt/models/current/policy.onnx` is a
 * file of one version, and another one once the link has been moved. An engine that takes a dead
 * one's place opens the version that was accepted, whatever the link says by then.
 */

import { realpathSync, statSync } from "node:fs";

export interface ModelFiles {
  readonly model: string;
  readonly obsStats?: string | undefined;
  readonly fallback?: { readonly model: string; readonly obsStats?: string | undefined };
}

/** The files themselves; a path that leads nowhere stays as it is, for the engine to refuse. */
export function resolveFiles(files: ModelFiles): ModelFiles {
  return {
    model: resolve(files.model),
    obsStats: files.obsStats === undefined ? undefined : resolve(files.obsStats),
    ...(files.fallback === undefined
      ? {}
      : {
          fallback: {
            model: resolve(files.fallback.model),
            obsStats:
              files.fallback.obsStats === undefined ? undefined : resolve(files.fallback.obsStats),
          },
        }),
  };
}

/** Changes whenever one of the files is another, or another's content; equal otherwise. */
export function identityOf(files: ModelFiles): string {
  const { model, obsStats, fallback } = files;
  return [model, obsStats, fallback?.model, fallback?.obsStats]
    .filter((path) => path !== undefined)
    .map(fileIdentity)
    .join("\n");
}

function fileIdentity(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (stat === undefined) return "none";
  return `${stat.dev}:${stat.ino}:${stat.mtimeNs}:${stat.size}`;
}

function resolve(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/**
 * Tells by polling when the files have become others. A change counts once two polls in a row see
 * the same, so that a file is not opened while it is copied.
 */
export function createWatch(files: ModelFiles): { hasChanged(): boolean } {
  let known = identityOf(files);
  let seen = known;
  return {
    hasChanged() {
      const now = identityOf(files);
      const isSettled = now === seen;
      seen = now;
      if (!isSettled || now === known) return false;
      known = now;
      return true;
    },
  };
}
