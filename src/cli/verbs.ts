/**
 * The verbs, with the names of the blueprint's scripts as aliases. Each is loaded only when it is
 * called, so that `--version` does not wait for a physics engine.
 */

import type { Command } from "./command.ts";

export interface Verb {
  readonly name: string;
  readonly aliases: readonly string[];
  readonly summary: string;
  load(): Promise<Command>;
}

export const VERBS: readonly Verb[] = [
  {
    name: "init",
    aliases: ["example_dummy_policy", "example_generate_dummy_policy"],
    summary: "Make a project: the blueprint's examples, with which the verbs run without flags",
    load: async () => (await import("../init/command.ts")).default,
  },
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
    name: "convert",
    aliases: ["convert_to_rknn"],
    summary: "Turn an ONNX policy into a .rknn for the NPU that is proven to act the same",
    load: async () => (await import("../convert/command.ts")).default,
  },
  {
    name: "serve",
    aliases: ["lite3_rknn_service"],
    summary: "Answer observations with actions on a Unix or TCP socket",
    load: async () => (await import("../serve/command.ts")).default,
  },
  {
    name: "client",
    aliases: [],
    summary: "Print a client of the service, as one file of C++ or Python",
    load: async () => (await import("../client/command.ts")).default,
  },
  {
    name: "agent",
    aliases: ["run_rknn_agent"],
    summary: "Run a policy, or a service, in a closed loop with an environment",
    load: async () => (await import("../agent/command.ts")).default,
  },
  {
    name: "log",
    aliases: [],
    summary: "Say what the log of a run holds, as figures or CSV, or replay it through a policy",
    load: async () => (await import("../log/command.ts")).default,
  },
  {
    name: "parity",
    aliases: ["compare_outputs"],
    summary: "Compare two backends on the same observations",
    load: async () => (await import("../parity/command.ts")).default,
  },
  {
    name: "accept",
    aliases: [],
    summary:
      "Measure the limits of acceptance on a board, and archive the verdict with its evidence",
    load: async () => (await import("../accept/command.ts")).default,
  },
  {
    name: "ci",
    aliases: [],
    summary: "Write a CI workflow that exports, converts and checks parity on each change",
    load: async () => (await import("../ci/command.ts")).default,
  },
  {
    name: "inspect",
    aliases: [],
    summary: "Say what a checkpoint, model or array file is, and what can be done with it",
    load: async () => (await import("../inspect/command.ts")).default,
  },
  {
    name: "toolkit",
    aliases: [],
    summary: "Install rknn-toolkit2, which makes .rknn files, and see what is installed",
    load: async () => (await import("../toolkit/command.ts")).default,
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
];

/** Started by the program itself: no help page and no table shows them. */
export const INTERNAL_VERBS: readonly Verb[] = [
  {
    name: "engine",
    aliases: [],
    summary: "Hold a model and its connections for the service",
    load: async () => (await import("../engine/command.ts")).default,
  },
  {
    name: "npu-process",
    aliases: [],
    summary: "Hold the NPU library for another process of this program",
    load: async () => (await import("../npu_process/command.ts")).default,
  },
];
