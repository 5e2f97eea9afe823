/**
 * The flags of `serve`.
 */

import * as v from "valibot";
import { LIMITS } from "../base/limits.ts";
import {
  durationValue,
  type Flags,
  integerValue,
  pathValue,
  switchValue,
  textValue,
  wordValue,
} from "../cli/command.ts";
import { NPU_FLAGS } from "../cli/npu_flags.ts";
import { DEFAULT_SOCKET } from "../wire/endpoint.ts";

const modeValue = (): v.GenericSchema<unknown, number> =>
  v.pipe(
    textValue("a mode such as 0660"),
    v.regex(/^0?[0-7]{3}$/, (issue) => `needs a mode such as 0660, got ${issue.input}`),
    v.transform((text) => Number.parseInt(text, 8)),
  );

const limitValue = (): v.GenericSchema<unknown, number> =>
  v.pipe(
    v.number((issue) => `needs a number above 0, got ${issue.received}`),
    v.check(
      (value) => Number.isFinite(value) && value > 0,
      (issue) => `needs a number above 0, got ${issue.input}`,
    ),
  );

const LISTEN_FLAGS = {
  socket: {
    value: "<path>",
    help: `Unix socket to listen on (default: ${DEFAULT_SOCKET})`,
    schema: v.optional(pathValue()),
  },
  socketMode: {
    value: "<mode>",
    help: "Who may connect to it (default: 0600, this user alone)",
    schema: v.optional(modeValue()),
  },
  socketGroup: {
    value: "<group>",
    help: "Group of the socket, by name or number; 0660 if no --socket-mode is given",
    schema: v.optional(textValue("a group")),
  },
  tcp: {
    value: "[host:port]",
    help: "Listen on TCP instead, or as well if a --socket is said (default: 127.0.0.1:3588)",
    schema: v.optional(v.union([v.literal(true), textValue("host:port")])),
  },
  insecureNetwork: {
    help: "Allow --tcp and --http beyond loopback: whoever reaches the port gets actions",
    schema: switchValue(),
  },
  maxClients: {
    value: "<n>",
    help: `Clients at a time; one more is turned away (default: ${LIMITS.connections})`,
    schema: v.optional(integerValue(1, LIMITS.connections), LIMITS.connections),
  },
  allowUid: {
    value: "<users>",
    help: "Serve only these users on Unix sockets: names or numbers, with commas between",
    schema: v.optional(textValue("users")),
  },
  allowGid: {
    value: "<groups>",
    help: "Serve these groups, beside the users of --allow-uid",
    schema: v.optional(textValue("groups")),
  },
} as const satisfies Flags;

const MODEL_FLAGS = {
  model: { value: "<file>", help: "The policy, an .onnx or .rknn file", schema: pathValue() },
  obsStats: {
    value: "<npz>",
    help: "mean and std of the observations, applied as (obs-mean)/max(std,1e-3)",
    schema: v.optional(pathValue()),
  },
  backend: {
    value: "<name>",
    help: "What runs it: mlp, onnx, rknn, or auto: the NPU for a .rknn, mlp where it can (default)",
    schema: v.optional(wordValue(["auto", "mlp", "onnx", "rknn"]), "auto"),
  },
  fallback: {
    value: "<name>",
    help: "mlp: answer from the CPU, marked, when the NPU fails",
    schema: v.optional(wordValue(["mlp"])),
  },
  fallbackModel: {
    value: "<onnx>",
    help: "The policy for --fallback (default: the .onnx beside the .rknn)",
    schema: v.optional(pathValue()),
  },
  watch: {
    help: "Open the model anew when its file or a link to it changes; SIGUSR1 does so at any time",
    schema: switchValue(),
  },
  warmup: {
    value: "<n>",
    help: "Inferences before the service is ready (default: 16)",
    schema: v.optional(integerValue(0, 1_000_000), 16),
  },
  ...NPU_FLAGS,
} as const satisfies Flags;

const GUARD_FLAGS = {
  inferTimeout: {
    value: "<time>",
    help: "Replace an engine whose inference takes longer (default: 1s)",
    schema: v.optional(durationValue(), "1s"),
  },
  restartsMax: {
    value: "<n>",
    help: "End after so many deaths within a minute without an answer in between (default: 10)",
    schema: v.optional(integerValue(1, 1_000_000), 10),
  },
  spare: {
    help: "Keep a second engine ready: another answers within some ms, for the memory of one",
    schema: switchValue(),
  },
  actionLimit: {
    value: "<x>",
    help: "Cut actions to -x..x and mark the answers; count changes by more than x",
    schema: v.optional(limitValue()),
  },
  calibration: {
    value: "<npy>",
    help: "Count values outside of what this set covers, and mark answers to what is far outside",
    schema: v.optional(pathValue()),
  },
  record: {
    value: "<npy>",
    help: "Keep the last observations in this file",
    schema: v.optional(pathValue()),
  },
  recordRows: {
    value: "<n>",
    help: "How many --record keeps (default: 65536)",
    schema: v.optional(integerValue(1, 100_000_000), 65_536),
  },
} as const satisfies Flags;

const PROCESS_FLAGS = {
  http: {
    value: "[host:port]",
    help: "Metrics and a live page, also on unix:PATH (default: 127.0.0.1:3589)",
    schema: v.optional(v.union([v.literal(true), textValue("host:port or unix:PATH")])),
  },
  log: {
    value: "<format>",
    help: "text, or json: one object a line (default: text)",
    isVerbsOwn: true,
    schema: v.optional(wordValue(["text", "json"]), "text"),
  },
  cpu: {
    value: "<n>",
    help: "Keep the engine on this CPU",
    schema: v.optional(integerValue(0, 1023)),
  },
  fifo: {
    value: "<n>",
    help: "Run the engine at this real-time priority (SCHED_FIFO), 1 to 99",
    schema: v.optional(integerValue(1, 99)),
  },
  mlock: { help: "Keep the engine's memory from being paged out", schema: switchValue() },
  stopWithStdin: {
    help: "Stop when standard input ends, as it does when the program that started this one dies",
    schema: switchValue(),
  },
} as const satisfies Flags;

export const SERVE_FLAGS = {
  ...MODEL_FLAGS,
  ...LISTEN_FLAGS,
  ...GUARD_FLAGS,
  ...PROCESS_FLAGS,
} as const satisfies Flags;
