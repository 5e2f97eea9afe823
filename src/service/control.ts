/**
 * What a supervisor and its engines tell each other. Commands go over a SEQPACKET pair, one JSON
 * text a message with its file descriptors; events come as JSON lines from the engine's stdout.
 * Both ends are this same program, so nothing is checked twice.
 */

import type { Core } from "../../ffi/rknn_api.ts";
import { NativeError } from "../../ffi/rknn_library.ts";
import { programCommand } from "../base/program.ts";
import type { ErrorCode, Lite3Error } from "../base/errors.ts";
import type { IoKind } from "../runtime/rknn.ts";

export const ENGINE_VERB = "engine";
/** The file descriptors that an engine is started with. */
export const CONTROL_FD = 3;
export const PAGE_FD = 4;

/** How to start an engine: with `stdio: ["ignore", "pipe", "inherit", control, page]`. */
export const engineCommand = (program: readonly string[] = programCommand()): string[] => [
  ...program,
  ENGINE_VERB,
  "--no-config-file",
];

export type BackendChoice = "auto" | "mlp" | "onnx" | "rknn";

export interface OpenCommand {
  readonly type: "open";
  /** 1, 2, …: grows with each reload. */
  readonly generation: number;
  /** An engine has served before: what no answer needs keeps this one from nothing. */
  readonly isRestart?: boolean | undefined;
  /** The names of the files whose copies come with this command, descriptors in this order. */
  readonly kept?: readonly string[] | undefined;
  readonly model: string;
  readonly obsStats?: string | undefined;
  readonly backend: BackendChoice;
  readonly librknnrt?: string | undefined;
  readonly core?: Core | undefined;
  readonly io?: IoKind | undefined;
  readonly warmup: number;
  /** Observations of late: the model must have a finite action for each, or it does not serve. */
  readonly probe?: readonly (readonly number[])[] | undefined;
  /** Answers, marked, where the NPU fails. */
  readonly fallback?: { readonly model: string; readonly obsStats?: string | undefined };
  /** The NPU is not even tried. */
  readonly fallbackOnly?: boolean | undefined;
  /** Largest |a| of an action; what is beyond is cut and marked. */
  readonly actionLimit?: number | undefined;
  /** Inferences in a row that fail, or whose action is not finite, before the engine gives up. */
  readonly failuresMax: number;
  readonly maxClients: number;
  /** Of Unix sockets' peers; who is in neither is refused, where one is given. */
  readonly allowUids?: readonly number[] | undefined;
  readonly allowGids?: readonly number[] | undefined;
  readonly record?: { readonly path: string; readonly rows: number } | undefined;
  /** Of the calibration set, per observation term. */
  readonly ranges?: { readonly min: readonly number[]; readonly max: readonly number[] };
  readonly cpu?: number | undefined;
  /** SCHED_FIFO priority, 1 … 99. */
  readonly fifo?: number | undefined;
  readonly mlock?: boolean | undefined;
}

export type ListenerKind = "unix" | "tcp";

export type Command =
  | OpenCommand
  /** With one listener's descriptor for each kind. */
  | { readonly type: "listen"; readonly kinds: readonly ListenerKind[] }
  /** With one end of a message pair, whose other end the next engine has. */
  | { readonly type: "hand-over" }
  | { readonly type: "take-over" }
  | { readonly type: "stop"; readonly drainMs: number };

/** The JSON of a hello's answer: src/wire/PROTOCOL.md. */
export type HelloJson = Readonly<Record<string, unknown>>;

export interface ReadyEvent {
  readonly event: "ready";
  readonly observationSize: number;
  readonly actionSize: number;
  readonly backend: string;
  readonly evidence: string;
  readonly normalizer: string;
  /** Of the model's file. */
  readonly sha256: string;
  readonly recurrent: boolean;
  readonly warmup: { readonly count: number; readonly p50Us: number; readonly maxUs: number };
  readonly hello: HelloJson;
  /** Since the process began. */
  readonly ms: number;
}

/** Actions that were not finite, or inferences that failed in whatever way. */
export type FailureCause = "nonFinite" | "failed";
export type FailedCall = Pick<NativeError, "call" | "status" | "because" | "cure">;

/** Of requests that failed: what the library said goes with it. */
export const REQUEST_FAILED = "request-failed";

export type EngineEvent =
  | ReadyEvent
  | { readonly event: "listening" }
  /** How many went to the next engine, and how many it could not give away and keeps. */
  | { readonly event: "handed"; readonly connections: number; readonly left: number }
  /** The last words: the process ends with that code's status. */
  | {
      readonly event: "failed";
      readonly code: ErrorCode;
      readonly message: string;
      /** What kept going wrong, where that is why. */
      readonly cause?: FailureCause | undefined;
      /** Of the call into the NPU's library that failed. */
      readonly native?: FailedCall | undefined;
    }
  | {
      readonly event: "warn" | "info";
      readonly name: string;
      readonly message: string;
      /** How often it came since it was last said, at most once a second. */
      readonly count?: number;
    };

export const encodeCommand = (command: Command): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(command));

export const decodeCommand = (bytes: Uint8Array): Command =>
  JSON.parse(new TextDecoder().decode(bytes)) as Command;

/** What the engine's error says of itself, without what the library said. */
export function describeFailure(error: Lite3Error): Extract<EngineEvent, { event: "failed" }> {
  const { code, message } = error;
  if (!(error instanceof NativeError)) return { event: "failed", code, message };
  const { call, status, because, cure } = error;
  return { event: "failed", code, message, native: { call, status, because, cure } };
}

/** The name of the warning that the NPU keeps failing while the fallback answers. */
export const FAILING = "failing";

/** One line, with its end. */
export const encodeEvent = (event: EngineEvent): string => `${JSON.stringify(event)}\n`;

export const decodeEvent = (line: string): EngineEvent => JSON.parse(line) as EngineEvent;
