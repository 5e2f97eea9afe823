/**
 * The verbs, with the names of the blueprint's scripts as aliases. Each is loaded only when it is
 * called, so that `--version` does not wait for a physics engine.
 */

import type { Command } from "./command.ts";

export interface Verb {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  /** Started by the program itself: no help page and no table shows it. */
  readonly isHidden?: true;
  load(): Promise<Command>;
}

/** Names of the blueprint that this version has nothing for, with what to do instead. */
export const ABSENT: Readonly<Record<string, string>> = {
  convert: "it does not convert to .rknn, serve and parity run the .onnx",
  convert_to_rknn: "it does not convert to .rknn, serve and parity run the .onnx",
  example_dummy_policy: "use lite3rl collect --policy random",
  example_generate_dummy_policy: "lite3rl demo brings a policy, in lite3rl-demo/policy.pt",
};

export const VERBS: readonly Verb[] = [
  {
    name: "export",
    aliases: ["export_pt_to_onnx"],
    summary: "Turn a checkpoint (.pt) into an ONNX file that acts the same",
    load: async () => (await import("../export/command.ts")).default,
  },
  {
    name: "collect",
    aliases: ["collect_calib_data"],
    summary: "Record observations of a policy in an environment as a calibration set",
    load: async () => (await import("../collect/command.ts")).default,
  },
  {
    name: "serve",
    aliases: ["lite3_rknn_service"],
    summary: "Answer observations with actions on a Unix or TCP socket",
    load: async () => (await import("../serve/command.ts")).default,
  },
  {
    name: "agent",
    aliases: ["run_rknn_agent"],
    summary: "Run a policy, or a service, in a closed loop with an environment",
    load: async () => (await import("../agent/command.ts")).default,
  },
  {
    name: "parity",
    aliases: ["compare_outputs"],
    summary: "Compare two backends on the same observations",
    load: async () => (await import("../parity/command.ts")).default,
  },
  {
    name: "inspect",
    aliases: [],
    summary: "Say what a checkpoint, model or array file is, and what can be done with it",
    load: async () => (await import("../inspect/command.ts")).default,
  },
  {
    name: "doctor",
    aliases: [],
    summary: "Say whether a board can run the service on its NPU, and what mends it",
    load: async () => (await import("../doctor/command.ts")).default,
  },
  {
    name: "demo",
    aliases: [],
    summary: "Carry the built-in policy through every stage, to a walking robot and a report",
    load: async () => (await import("../demo/command.ts")).default,
  },
  {
    name: "npu-process",
    aliases: [],
    summary: "Hold the NPU library for another process of this program",
    isHidden: true,
    load: async () => (await import("../npu_process/command.ts")).default,
  },
];
