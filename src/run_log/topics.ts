/**
 * The topics of a run's log: which fields a message has, once for writing (JSON Schema, which
 * Foxglove plots by) and once for reading (valibot).
 *
 * The messages of one control step have one log time, the policy's; `/latency` is the last of them.
 */

import * as v from "valibot";

const FIELDS = {
  number: { schema: { type: "number" }, check: v.number() },
  boolean: { schema: { type: "boolean" }, check: v.boolean() },
  string: { schema: { type: "string" }, check: v.string() },
  vector: {
    schema: { type: "array", items: { type: "number" }, minItems: 3, maxItems: 3 },
    check: v.tuple([v.number(), v.number(), v.number()]),
  },
  numbers: { schema: { type: "array", items: { type: "number" } }, check: v.array(v.number()) },
  booleans: { schema: { type: "array", items: { type: "boolean" } }, check: v.array(v.boolean()) },
} as const;

type Field = keyof typeof FIELDS;
type Fields = Readonly<Record<string, Field>>;

/** Required fields, then those that an environment may not have. */
interface Topic {
  readonly needs: Fields;
  readonly may: Fields;
}

export const TOPICS = {
  /** timeS: since the run began; the rest as `StepInfo`. */
  "/state": {
    needs: { timeS: "number", episode: "number" },
    may: {
      position: "vector",
      velocity: "vector",
      attitude: "vector",
      yawRate: "number",
      footContact: "booleans",
    },
  },
  "/command": { needs: { vx: "number", vy: "number", wz: "number" }, may: {} },
  /** What the policy was given, before its normalizer; exact as float32. */
  "/observation": { needs: { values: "numbers" }, may: {} },
  /** What it answered; exact as float32. */
  "/action": { needs: { values: "numbers" }, may: {} },
  /** rad/s and m/s², body frame. */
  "/imu": { needs: {}, may: { angularVelocity: "vector", linearAcceleration: "vector" } },
  /** N, and m in the world frame (x, y, z per foot); FL FR HL HR. */
  "/feet": { needs: {}, may: { force: "numbers", position: "numbers" } },
  /** rad, rad/s, Nm, in the order of the actions. */
  "/joints": { needs: {}, may: { position: "numbers", velocity: "numbers", torque: "numbers" } },
  /** level: info or error; name: started, restart, fall, ended … */
  "/events": { needs: { level: "string", name: "string", message: "string" }, may: {} },
  /** Of the policy, µs; was the step over its period? Absent where no period is kept. */
  "/latency": { needs: { us: "number" }, may: { overrun: "boolean" } },
} as const satisfies Readonly<Record<string, Topic>>;

export type TopicName = keyof typeof TOPICS;
export const TOPIC_NAMES = Object.keys(TOPICS) as TopicName[];

type ValueOf<F extends Field> = v.InferOutput<(typeof FIELDS)[F]["check"]>;
type Needed<T extends Topic> = { readonly [K in keyof T["needs"]]: ValueOf<T["needs"][K]> };
type Possible<T extends Topic> = {
  readonly [K in keyof T["may"]]?: ValueOf<T["may"][K]> | undefined;
};
export type MessageOf<N extends TopicName> = Needed<(typeof TOPICS)[N]> &
  Possible<(typeof TOPICS)[N]>;

/** JSON Schema of a topic's messages. */
export function jsonSchemaOf(name: TopicName): object {
  const { needs, may }: Topic = TOPICS[name];
  const fields = Object.entries({ ...needs, ...may });
  return {
    type: "object",
    properties: Object.fromEntries(fields.map(([key, field]) => [key, FIELDS[field].schema])),
    required: Object.keys(needs),
  };
}

const CHECKS = new Map(
  TOPIC_NAMES.map((name) => {
    const { needs, may }: Topic = TOPICS[name];
    const entries = [
      ...Object.entries(needs).map(([key, field]) => [key, FIELDS[field].check] as const),
      ...Object.entries(may).map(([key, field]) => [key, v.optional(FIELDS[field].check)] as const),
    ];
    return [name, v.looseObject(Object.fromEntries(entries))];
  }),
);

/** One message's JSON, checked; undefined when it is not the topic's. */
export function decodeMessage<N extends TopicName>(
  name: N,
  data: Uint8Array,
): MessageOf<N> | undefined {
  const check = CHECKS.get(name);
  try {
    const parsed: unknown = JSON.parse(Buffer.from(data).toString("utf8"));
    const result = check && v.safeParse(check, parsed);
    return result?.success === true ? (result.output as MessageOf<N>) : undefined;
  } catch {
    return undefined;
  }
}
