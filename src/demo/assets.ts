/**
 * The embedded policy: the project's own, trained from scratch; where it comes from is written in
 * `fixtures/demo_policy/README.md`.
 */

import config from "../../fixtures/demo_policy/actor_config.yaml" with { type: "file" };
import stats from "../../fixtures/demo_policy/obs_stats.npz" with { type: "file" };
import checkpoint from "../../fixtures/demo_policy/policy.pt" with { type: "file" };
import { join } from "node:path";
import { writeFileAtomic } from "../base/files.ts";

export interface DemoInputs {
  readonly checkpoint: string;
  readonly config: string;
  readonly obsStats: string;
}

/** Writes the embedded files into `directory`, as a user would have them. */
export async function unpackDemoPolicy(directory: string): Promise<DemoInputs> {
  const unpack = async (asset: string, name: string): Promise<string> => {
    const path = join(directory, name);
    writeFileAtomic(path, await Bun.file(asset).bytes());
    return path;
  };
  return {
    checkpoint: await unpack(checkpoint, "policy.pt"),
    config: await unpack(config as unknown as string, "actor_config.yaml"),
    obsStats: await unpack(stats, "obs_stats.npz"),
  };
}
