/**
 * Opens a checkpoint whatever its container is, as a root value and a way to its tensors.
 */

import { memorySource, type ByteSource } from "../base/files.ts";
import { LIMITS } from "../base/limits.ts";
import { checkInflation, readTorch, type TorchFile } from "../formats/torch.ts";
import { isTorchScriptArchive, readTorchScript } from "../formats/torch_script.ts";
import { isZip, openZip } from "../formats/zip.ts";
import type { Sb3Root } from "./layouts/sb3.ts";
import type { ScriptRoot } from "./layouts/torchscript.ts";

export interface CheckpointFile {
  readonly container: "torch" | "torchscript" | "sb3";
  /** What the layouts look at. */
  readonly root: unknown;
  readonly file: TorchFile;
}

export async function openCheckpoint(source: ByteSource): Promise<CheckpointFile> {
  if (isZip(source)) {
    const zip = await openZip(source);
    const policy = zip.entries.get("policy.pth");
    if (policy !== undefined) {
      checkInflation(policy);
      const file = await readTorch(memorySource(zip.read("policy.pth", LIMITS.modelBytes)));
      const data = new TextDecoder().decode(zip.read("data", LIMITS.configBytes));
      const root: Sb3Root = { kind: "sb3", policy: file.root, data };
      return { container: "sb3", root, file };
    }
    if (isTorchScriptArchive(zip)) {
      const script = readTorchScript(zip);
      const root: ScriptRoot = { kind: "torchscript", script };
      return { container: "torchscript", root, file: script };
    }
  }
  const file = await readTorch(source);
  return { container: "torch", root: file.root, file };
}
