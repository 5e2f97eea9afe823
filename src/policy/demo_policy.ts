/**
 * The policy that is built in: the project's own, trained from scratch; where it comes from is
 * written in `fixtures/demo_policy/README.md`. It walks in the built-in environment.
 */

import config from "../../fixtures/demo_policy/actor_config.yaml" with { type: "file" };
import stats from "../../fixtures/demo_policy/obs_stats.npz" with { type: "file" };
import checkpoint from "../../fixtures/demo_policy/policy.pt" with { type: "file" };
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";

/** What its actor config says. */
export const DEMO_ACTOR = {
  observationSize: 45,
  actionSize: 12,
  hiddenSizes: [256, 128, 64],
  activation: "elu",
} as const;

const FILES = {
  checkpoint,
  config: config as unknown as string,
  obsStats: stats,
} as const;

export type DemoFile = keyof typeof FILES;

/** The content of one of its files. */
export async function readDemoFile(file: DemoFile): Promise<Uint8Array> {
  return Bun.file(FILES[file]).bytes();
}

/** Writes its files into `directory`, as a user would have them; returns their paths. */
export async function unpackDemoPolicy(directory: string): Promise<Record<DemoFile, string>> {
  const unpack = async (file: DemoFile, name: string): Promise<string> => {
    const path = join(directory, name);
    writeFileAtomic(path, await readDemoFile(file));
    return path;
  };
  return {
    checkpoint: await unpack("checkpoint", "policy.pt"),
    config: await unpack("config", "actor_config.yaml"),
    obsStats: await unpack("obsStats", "obs_stats.npz"),
  };
}
