/**
 * A run's log, step by step: of a whole file, or of one whose end is missing.
 */

import { hasMcapPrefix, MCAP_MAGIC, McapStreamReader } from "@mcap/core";
import { FormatError, quote } from "../base/errors.ts";
import { openFile } from "../base/files.ts";
import type { Sensors, StepInfo } from "../environment/environment.ts";
import type { RunStep } from "./run_step.ts";
import { decodeMessage, type MessageOf, TOPIC_NAMES, type TopicName } from "./topics.ts";

const READ_BYTES = 1 << 16;

export interface RunEvent {
  readonly timeS: number;
  readonly level: string;
  readonly name: string;
  readonly message: string;
}

/** What of a log is known once it has been read to its end. */
export interface RunLogEnd {
  readonly description: Readonly<Record<string, string>>;
  readonly events: readonly RunEvent[];
  /** Whether the file has its end, or was cut off by a crash. */
  readonly complete: boolean;
}

type Partial = { [N in TopicName]?: MessageOf<N> };

/** Whether a file begins as MCAP does. */
export function isRunLog(path: string): boolean {
  using source = openFile(path);
  const begin = source.read(0, Math.min(source.size, MCAP_MAGIC.length));
  return hasMcapPrefix(new DataView(begin.buffer));
}

/**
 * Gives each step to `take`, whose arrays are its own. Throws FormatError for a file that is no
 * log of a run, is damaged, or has no steps.
 */
export function readRunLog(path: string, take: (step: RunStep) => void): RunLogEnd {
  using source = openFile(path);
  const reader = new McapStreamReader({
    decompressHandlers: {
      zstd: (bytes, size) => decompress(bytes, size),
    },
  });
  const topics = new Map<number, TopicName>();
  const events: RunEvent[] = [];
  let description: Record<string, string> = {};
  let partial: Partial = {};
  let steps = 0;
  let startedNs: bigint | undefined;
  let at = 0;
  try {
    while (at < source.size && !reader.done()) {
      const length = Math.min(READ_BYTES, source.size - at);
      reader.append(source.read(at, length));
      at += length;
      for (let record = reader.nextRecord(); record; record = reader.nextRecord()) {
        if (record.type === "Metadata" && record.name === "run") {
          description = Object.fromEntries(record.metadata);
        } else if (record.type === "Channel") {
          const name = TOPIC_NAMES.find((topic) => topic === record.topic);
          if (name !== undefined) topics.set(record.id, name);
        } else if (record.type === "Message") {
          const topic = topics.get(record.channelId);
          if (topic === undefined) continue;
          startedNs ??= record.logTime;
          const message = decodeMessage(topic, record.data);
          if (message === undefined) {
            throw new FormatError(`a message of ${quote(topic)} is not what its schema says`);
          }
          if (topic === "/events") {
            const timeS = Number(record.logTime - startedNs) / 1e9;
            events.push({ timeS, ...(message as MessageOf<"/events">) });
            continue;
          }
          (partial as Record<string, unknown>)[topic] = message;
          if (topic !== "/latency") continue;
          take(stepOf(partial, isTimed(description)));
          partial = {};
          steps++;
        }
      }
    }
  } catch (error) {
    if (error instanceof FormatError) throw error;
    throw new FormatError(`it is no sound MCAP file: ${(error as Error).message}`);
  }
  if (steps === 0) {
    throw new FormatError(`it has no steps of a run, need a log that agent --log wrote`);
  }
  return { description, events, complete: reader.done() };
}

function decompress(bytes: Uint8Array, size: bigint): Uint8Array {
  const plain = Bun.zstdDecompressSync(Uint8Array.from(bytes));
  if (BigInt(plain.length) === size) return plain;
  throw new FormatError(`a chunk has ${plain.length} bytes, its header says ${size}`);
}

/** Logs that do not say it are of runs that kept their period. */
const isTimed = ({ realTime }: Readonly<Record<string, string>>): boolean => realTime !== "false";

function stepOf(messages: Partial, timed: boolean): RunStep {
  const state = messages["/state"];
  const [observation, action] = [messages["/observation"], messages["/action"]];
  const [command, latency] = [messages["/command"], messages["/latency"]];
  if (state === undefined || observation === undefined || action === undefined || !latency) {
    throw new FormatError("a step lacks its state, observation, action or latency");
  }
  return {
    timeS: state.timeS,
    episode: state.episode,
    command: command && [command.vx, command.vy, command.wz],
    observation: Float32Array.from(observation.values),
    action: Float32Array.from(action.values),
    info: infoOf(state),
    sensors: sensorsOf(messages),
    latencyUs: latency.us,
    overrun: timed ? (latency.overrun ?? null) : null,
  };
}

function infoOf({ episode: _episode, ...info }: MessageOf<"/state">): StepInfo {
  return info as StepInfo;
}

function sensorsOf(messages: Partial): Sensors | undefined {
  const [imu, feet, joints] = [messages["/imu"], messages["/feet"], messages["/joints"]];
  if (imu === undefined && feet === undefined && joints === undefined) return undefined;
  const given = {
    angularVelocity: imu?.angularVelocity,
    linearAcceleration: imu?.linearAcceleration,
    jointPosition: joints?.position,
    jointVelocity: joints?.velocity,
    jointTorque: joints?.torque,
    footForce: feet?.force,
    footPosition: feet?.position,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
