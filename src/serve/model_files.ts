/**
 * The files that a service is made of, by the names that the user gave: `current/policy.onnx` is
 * another file once the link has been moved.
 */

import { existsSync, statSync } from "node:fs";
import { recordPath } from "../policy/conversion_record.ts";
import { isRknnPath } from "../runtime/open_rknn.ts";

export interface ModelFiles {
  readonly model: string;
  readonly obsStats?: string | undefined;
  readonly fallback?: { readonly model: string; readonly obsStats?: string | undefined };
}

/** All of them, with the record of a conversion where there is one. */
export function pathsOf({ model, obsStats, fallback }: ModelFiles): string[] {
  const record = isRknnPath(model) ? recordPath(model) : undefined;
  const isThere = record !== undefined && existsSync(record);
  return [
    model,
    isThere ? record : undefined,
    obsStats,
    fallback?.model,
    fallback?.obsStats,
  ].filter((path) => path !== undefined);
}

/** Changes whenever one of the files is another, or another's content; equal otherwise. */
export const identityOf = (files: ModelFiles): string =>
  pathsOf(files).map(fileIdentity).join("\n");

function fileIdentity(path: string): string {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (stat === undefined) return "none";
  return `${stat.dev}:${stat.ino}:${stat.mtimeNs}:${stat.size}`;
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
