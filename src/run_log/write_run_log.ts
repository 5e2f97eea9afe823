/**
 * A run's log as MCAP: one message per topic and control step, JSON with its schema, in compressed
 * chunks of about a second.
 *
 * The file grows in place, under its own name: after a crash or kill −9 everything but the last
 * chunk is there. A chunk is one write. What is kept in memory is one chunk and an index entry for
 * each chunk before it. The robot is not stopped for its log: when the disk is full, or the log as
 * long as it may be, it says so once and the run goes on.
 */

import { closeSync, openSync, writeSync } from "node:fs";
import { McapWriter } from "@mcap/core";
import { version } from "../../package.json" with { type: "json" };
import { present } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { warn } from "../base/log.ts";
import type { RunStep } from "./run_step.ts";
import { jsonSchemaOf, type MessageOf, TOPIC_NAMES, type TopicName } from "./topics.ts";

/** A second of a Lite3 at 50 Hz is some 100 kB: a killed run loses less than that. */
const CHUNK_BYTES = 65_536;
const ZSTD_LEVEL = 1;
/** Digits after which a float32 is the same again, and digits of what is only looked at. */
const EXACT_DIGITS = 9;
const PLAIN_DIGITS = 7;

/** What the log says of the run as a whole; texts, as MCAP's metadata has them. */
export type RunDescription = Readonly<Record<string, string>>;

export interface RunLog {
  readonly path: string;
  /** Why it ends before the run did, if it does. */
  readonly broken: string | undefined;
  step(step: RunStep): Promise<void>;
  event(level: "info" | "error", name: string, message: string): Promise<void>;
  /** Writes the last chunk and the index. */
  end(): Promise<void>;
}

/**
 * Begins a log. Throws CONFIG for a name that is taken: a log is never written over.
 *
 * @param startedNs wall clock of the run's beginning, nanoseconds since 1970
 */
export async function openRunLog(
  path: string,
  description: RunDescription,
  startedNs: bigint,
  bytesMax: number = LIMITS.runLogBytes,
): Promise<RunLog> {
  const file = new LogFile(path, bytesMax);
  const writer = new McapWriter({ writable: file, chunkSize: CHUNK_BYTES, compressChunk });
  await writer.start({ profile: "", library: `lite3rl ${version}` });
  await writer.addMetadata({ name: "run", metadata: new Map(Object.entries(description)) });
  const channels = new Map<TopicName, number>();
  for (const topic of TOPIC_NAMES) {
    const data = Buffer.from(JSON.stringify(jsonSchemaOf(topic)));
    const name = `lite3rl${topic.replace("/", ".")}`;
    const schemaId = await writer.registerSchema({ name, encoding: "jsonschema", data });
    const channel = { topic, schemaId, messageEncoding: "json", metadata: new Map() };
    channels.set(topic, await writer.registerChannel(channel));
  }
  let sequence = 0;
  let logTime = startedNs;
  const add = async <N extends TopicName>(topic: N, message: MessageOf<N>): Promise<void> => {
    if (file.broken !== undefined) return;
    const channelId = present(channels.get(topic));
    const data = Buffer.from(JSON.stringify(message));
    await writer.addMessage({ channelId, sequence, logTime, publishTime: logTime, data });
  };
  return {
    path,
    get broken() {
      return file.broken;
    },
    async step(step) {
      sequence++;
      logTime = startedNs + BigInt(Math.round(step.timeS * 1e9));
      for (const [topic, message] of messagesOf(step)) await add(topic, message as never);
    },
    event: (level, name, message) => add("/events", { level, name, message }),
    async end() {
      if (file.broken === undefined) await writer.end();
      file[Symbol.dispose]();
    },
  };
}

function compressChunk(data: Uint8Array) {
  return { compression: "zstd", compressedData: Bun.zstdCompressSync(data, { level: ZSTD_LEVEL }) };
}

function* messagesOf(step: RunStep): Generator<readonly [TopicName, object]> {
  const { info, command, sensors, observation, action, latencyUs, overrun } = step;
  yield [
    "/state",
    {
      timeS: step.timeS,
      episode: step.episode,
      position: plain(info.position),
      velocity: plain(info.velocity),
      attitude: plain(info.attitude),
      yawRate: info.yawRate,
      footContact: info.footContact,
    },
  ];
  if (command !== undefined) {
    const [vx, vy, wz] = command;
    yield ["/command", { vx, vy, wz }];
  }
  yield ["/observation", { values: digits(observation, EXACT_DIGITS) }];
  yield ["/action", { values: digits(action, EXACT_DIGITS) }];
  if (sensors !== undefined) {
    const { angularVelocity, linearAcceleration, jointPosition, jointVelocity } = sensors;
    yield [
      "/imu",
      { angularVelocity: plain(angularVelocity), linearAcceleration: plain(linearAcceleration) },
    ];
    yield ["/feet", { force: plain(sensors.footForce), position: plain(sensors.footPosition) }];
    yield [
      "/joints",
      {
        position: plain(jointPosition),
        velocity: plain(jointVelocity),
        torque: plain(sensors.jointTorque),
      },
    ];
  }
  yield ["/latency", { us: latencyUs, ...(overrun !== null && { overrun }) }];
}

const plain = (values: readonly number[] | undefined): number[] | undefined =>
  values && digits(values, PLAIN_DIGITS);

const digits = (values: ArrayLike<number>, count: number): number[] =>
  Array.from(values, (value) => Number(value.toPrecision(count)));

/** The file beneath a writer; after a failure it takes nothing more. */
class LogFile implements Disposable {
  broken: string | undefined;
  readonly #path: string;
  readonly #bytesMax: number;
  readonly #descriptor: number;
  #position = 0;

  constructor(path: string, bytesMax: number) {
    this.#path = path;
    this.#bytesMax = bytesMax;
    this.#descriptor = openNew(path);
  }

  position = (): bigint => BigInt(this.#position);

  async write(bytes: Uint8Array): Promise<void> {
    if (this.broken !== undefined) return;
    if (this.#position + bytes.length > this.#bytesMax) {
      return this.#give(`it has ${this.#position} bytes, at most ${this.#bytesMax} are written`);
    }
    try {
      for (let at = 0; at < bytes.length;) at += writeSync(this.#descriptor, bytes, at);
      this.#position += bytes.length;
    } catch (error) {
      this.#give((error as Error).message);
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#descriptor);
  }

  #give(why: string): void {
    this.broken = why;
    warn(`the log ${quote(this.#path)} ends here: ${why}`);
  }
}

function openNew(path: string): number {
  try {
    return openSync(path, "wx", 0o644);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "EEXIST") {
      throw new Lite3Error(
        "CONFIG",
        `Cannot write log ${quote(path)}: it is there already, need another name; ` +
          "a log is never written over",
        { cause: error },
      );
    }
    throw new Lite3Error(
      code === "ENOENT" ? "NOT_FOUND" : "NATIVE",
      `Cannot write log ${quote(path)}: ${message}; name a file in a directory that can be written`,
      { cause: error },
    );
  }
}
