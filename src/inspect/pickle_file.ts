/**
 * Inspects a pickle that is no torch checkpoint: what it names and would call, without building
 * or calling any of it, and what plain data there is at its root.
 */

import type { ByteSource } from "../base/files.ts";
import { FormatError, Lite3Error } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { NO_HOOKS, parsePickle } from "../formats/pickle.ts";
import { listGlobals, type PickleScan } from "../formats/pickle_globals.ts";
import { plain, plural } from "../base/text.ts";
import type { Finding } from "./finding.ts";
import { describeSuspicious, isReconstruction, suspicious } from "./globals.ts";
import { describeTree, treeFacts } from "./tree.ts";

export function inspectPickle(source: ByteSource): Finding {
  if (source.size > LIMITS.pickleBytes) {
    throw new FormatError(`at most ${LIMITS.pickleBytes} bytes of a pickle are taken`, "TOO_LARGE");
  }
  const bytes = source.read(0, source.size);
  const scan = listGlobals(bytes);
  if (scan.problem !== undefined && scan.globals.length === 0) throw new FormatError(scan.problem);
  const found = suspicious(scan.globals);
  const root = readRoot(bytes);
  const problem = scan.problem ?? trailing(scan, bytes.length);
  const tree = "value" in root ? describeTree(root.value) : null;
  return {
    kind: "pickle",
    title: "Python pickle",
    details: {
      protocol: scan.protocol,
      opcodes: scan.opcodes,
      problem: problem ?? null,
      globals: scan.globals.map(({ name }) => name),
      suspicious: found,
      tree,
      notRead: "problem" in root ? root.problem : null,
    },
    blocks: [
      {
        facts: [
          ["pickle", `protocol ${scan.protocol}, ${plural(scan.opcodes, "opcode")}`],
          ["names", namesText(scan)],
          ...(problem === undefined ? [] : [["broken", plain(problem)] as const]),
          ...(tree === null ? [] : treeFacts(tree)),
        ],
      },
    ],
    warnings: describeSuspicious(found),
    advice: adviceFor(scan, found.length > 0),
  };
}

function namesText({ globals }: PickleScan): string {
  if (globals.length === 0) return "no class or function: plain data";
  const known = globals.filter(({ name }) => isReconstruction(name)).map(({ name }) => plain(name));
  const others = globals.length - known.length;
  return [
    ...known.slice(0, 8),
    ...(known.length > 8 ? [`${known.length - 8} more of torch, numpy or collections`] : []),
    ...(others > 0 ? [`${others} that ${others === 1 ? "is" : "are"} listed below`] : []),
  ].join(", ");
}

function readRoot(bytes: Uint8Array): { readonly value: unknown } | { readonly problem: string } {
  try {
    return { value: parsePickle(bytes, NO_HOOKS) };
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    return { problem: error.message };
  }
}

function trailing({ consumed }: PickleScan, size: number): string | undefined {
  return consumed === size ? undefined : `${size - consumed} bytes follow after its end`;
}

const VEC_NORMALIZE = "stable_baselines3.common.vec_env.vec_normalize.VecNormalize";

function adviceFor({ globals }: PickleScan, isSuspicious: boolean): string[] {
  if (globals.some(({ name }) => name === VEC_NORMALIZE)) {
    return [
      "it is the VecNormalize of Stable-Baselines3, which lite3rl does not load; where it was " +
        "trained, write its statistics and name them as --obs-stats:",
      "np.savez('obs_stats.npz', mean=env.obs_rms.mean, " +
        "std=np.sqrt(env.obs_rms.var + env.epsilon))",
    ];
  }
  return [
    "export refuses it: it is no torch checkpoint; save the weights by " +
      "torch.save(model.state_dict(), path)",
    ...(isSuspicious
      ? ["whoever loads it with pickle or torch.load runs what is listed: do not"]
      : []),
  ];
}
