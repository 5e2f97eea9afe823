/**
 * What a verb is: its words for cac, one valibot schema per flag for their meaning, and what it
 * does. A verb returns its result; only the command line prints it (as text or as one JSON
 * document) and turns it into an exit status.
 */

import * as v from "valibot";
import type { ErrorCode } from "../base/errors.ts";
import type { Annotation } from "./annotations.ts";

/** One flag. `value` is what help shows after it; a flag without one is a switch. */
export interface Flag<S extends v.GenericSchema = v.GenericSchema> {
  readonly value?: string;
  readonly help: string;
  /** A switch that is on unless `--no-…` is said. */
  readonly isOnByDefault?: true;
  /**
   * Another verb means something else by this name, so the variable of all verbs sets neither:
   * `LITE3RL_SERVE_LOG` does, `LITE3RL_LOG` does not.
   */
  readonly isVerbsOwn?: true;
  readonly schema: S;
}

export type Flags = Readonly<Record<string, Flag>>;

export type FlagValues<F extends Flags> = {
  readonly [K in keyof F]: v.InferOutput<F[K]["schema"]>;
};

export interface CommandResult {
  /** The one document of `--json`. */
  readonly json: unknown;
  /** What a person reads, on stdout. */
  readonly text: string;
  /** Present when something was checked and failed: one line of why; exit status 1. */
  readonly failure?: string;
  /** What fails, one by one, for a CI to show beside the change; `failure` if absent. */
  readonly annotations?: readonly Annotation[];
  /** Another error than CHECK_FAILED, with its exit status: there is a result, but not the whole. */
  readonly failureCode?: ErrorCode;
}

export interface CommandContext {
  /**
   * Prints a result while the verb goes on running (the service's READY). A verb that announces
   * returns no result of its own.
   */
  announce(result: CommandResult): void;
}

export interface Command<F extends Flags = Flags> {
  readonly name: string;
  /**
   * Positional arguments as cac writes them: `<checkpoint>`, `<a> <b>`, nothing, or `[...sets]`
   * for any number.
   */
  readonly positionals: string;
  readonly summary: string;
  /** Lines that help shows below the summary. */
  readonly details?: readonly string[];
  /** Keys in camelCase; `dynamicBatch` is `--dynamic-batch`. */
  readonly flags: F;
  /**
   * Flags (or positionals, by name) that exclude each other: the one on the command line displaces
   * the other in a file.
   */
  readonly rivals?: readonly (readonly [string, string])[];
  /** Positionals are one thing: those that are written replace all that a file or variable says. */
  readonly positionalsTogether?: true;
  /**
   * Flags that mean nothing beside these arguments: what a file or variable says of them is left
   * out. On the command line `run` refuses them.
   */
  unused?(positionals: readonly string[], valueOf: (key: string) => unknown): readonly string[];
  /** A line that can be run as it stands, without the program's name. */
  readonly example: string;
  run(
    positionals: readonly string[],
    flags: FlagValues<F>,
    context: CommandContext,
  ): Promise<CommandResult | undefined>;
}

/** Keeps the flags' types for `run`; a verb's `command.ts` exports what this returns. */
export function defineCommand<const F extends Flags>(command: Command<F>): Command {
  return command as unknown as Command;
}

/** `dynamicBatch` → `--dynamic-batch`. */
export function flagName(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

export interface Positional {
  readonly name: string;
  readonly isVariadic: boolean;
}

/** `<a> [...rest]` → its names. */
export function positionalsOf({ positionals }: Pick<Command, "positionals">): Positional[] {
  const words = positionals.split(" ").filter(Boolean);
  return words.map((word) => ({
    name: word.replaceAll(/[<>[\].]/g, ""),
    isVariadic: word.includes("..."),
  }));
}

/** Does the flag take a file's name? Those of a configuration file are relative to it. */
export const takesPath = (schema: v.GenericSchema): boolean => metadataOf(schema).isPath === true;

/** Does the flag take the words as they are typed? */
export const takesText = (schema: v.GenericSchema): boolean => metadataOf(schema).isText === true;

/** May the flag be given more than once? */
export const takesList = (schema: v.GenericSchema): boolean => metadataOf(schema).isList === true;

function metadataOf(schema: v.GenericSchema): Record<string, unknown> {
  return v.getMetadata("wrapped" in schema ? (schema.wrapped as v.GenericSchema) : schema);
}

const received = (issue: v.BaseIssue<unknown>): string =>
  issue.input === undefined ? "nothing" : issue.received;

/** A file name. cac turns digits into numbers, so a bare number is refused with the way out. */
export const pathValue = (): v.GenericSchema<unknown, string> =>
  v.pipe(
    v.string((issue) =>
      typeof issue.input === "number"
        ? `needs a path, got the number ${issue.input}: write ./${issue.input} for such a file`
        : `needs a path, got ${received(issue)}`,
    ),
    v.nonEmpty("needs a path, got an empty one"),
    v.metadata({ isPath: true }),
  );

/** Words, also where they look like a number: `--toolkit 1.0` is the text "1.0". */
export const textValue = (what: string): v.GenericSchema<unknown, string> =>
  v.pipe(
    v.union([v.string(), v.number()], (issue) => `needs ${what}, got ${received(issue)}`),
    v.transform(String),
    v.metadata({ isText: true }),
  );

/** A number within `min`..`max`; `what` names it in the message. */
export function numberValue(
  min: number,
  max: number,
  what = "a number",
  isKind: (value: number) => boolean = Number.isFinite,
): v.GenericSchema<unknown, number> {
  const range = `needs ${what} from ${min} to ${max}`;
  return v.pipe(
    v.number((issue) => `${range}, got ${received(issue)}`),
    v.check(
      (value) => isKind(value) && value >= min && value <= max,
      (issue) => `${range}, got ${issue.input}`,
    ),
  );
}

export const integerValue = (min: number, max: number): v.GenericSchema<unknown, number> =>
  numberValue(min, max, "a whole number", Number.isInteger);

/** One of the given words. */
export const wordValue = <const W extends readonly string[]>(
  words: W,
): v.GenericSchema<unknown, W[number]> =>
  v.picklist(words, (issue) => `needs one of ${words.join(", ")}, got ${received(issue)}`);

/** Some of the given words, each once and in their order: with commas between, or the flag again. */
export const wordsValue = <const W extends readonly string[]>(
  words: W,
): v.GenericSchema<unknown, W[number][]> =>
  v.pipe(
    v.unknown(),
    v.transform((given) => [given].flat().flatMap((text) => String(text).split(","))),
    v.array(
      v.picklist(words, (issue) => `needs some of ${words.join(", ")}, got ${issue.received}`),
    ),
    v.transform((given) => words.filter((word) => given.includes(word))),
    v.metadata({ isList: true }),
  );

const DURATION = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/;
const SECONDS = { ms: 0.001, s: 1, m: 60, h: 3600 } as const;

/** Timers count milliseconds in 31 bits, 24.8 days; a longer one would end at once. */
const DURATION_MAX_S = 24 * 86_400;

/** `10s`, `500ms`, `10m`, or a number of seconds → seconds. */
export const durationValue = (): v.GenericSchema<unknown, number> =>
  v.pipe(
    textValue("a duration such as 10s"),
    v.regex(DURATION, (issue) => `needs a duration such as 10s or 10m, got ${received(issue)}`),
    v.transform((text) => {
      const [, amount = "", unit = "s"] = DURATION.exec(text) ?? [];
      return Number(amount) * SECONDS[unit as keyof typeof SECONDS];
    }),
    v.check((seconds) => seconds > 0, "needs a duration above zero"),
    v.check((seconds) => seconds <= DURATION_MAX_S, "needs a duration of at most 576h (24 days)"),
  );

/** `vx,vy,wz`: three finite numbers. */
export const vectorValue = (): v.GenericSchema<unknown, readonly [number, number, number]> =>
  v.pipe(
    textValue("three numbers such as 0.5,0,0"),
    v.check(
      (text) => splitNumbers(text).length === 3 && splitNumbers(text).every(Number.isFinite),
      (issue) => `needs three numbers such as 0.5,0,0, got ${issue.input}`,
    ),
    v.transform((text) => splitNumbers(text) as unknown as readonly [number, number, number]),
  );

/** `256,128,64`: whole numbers above zero. */
export const sizesValue = (): v.GenericSchema<unknown, readonly number[]> =>
  v.pipe(
    textValue("whole numbers such as 256,128"),
    v.transform((text) => text.split(",").map(Number)),
    v.check(
      (sizes) => sizes.every((size) => Number.isSafeInteger(size) && size > 0),
      "needs whole numbers such as 256,128",
    ),
  );

/** `name:size,name:size`: the parts of an observation, in order. */
export const termsValue = (): v.GenericSchema<
  unknown,
  readonly { readonly name: string; readonly size: number }[]
> =>
  v.pipe(
    textValue("terms such as gyro:3,command:3"),
    v.regex(/^[^:,]+:[1-9]\d{0,4}(?:,[^:,]+:[1-9]\d{0,4})*$/, (issue) => {
      return `needs terms such as gyro:3,command:3, got ${issue.input}`;
    }),
    v.transform((text) =>
      text.split(",").map((part) => {
        const [name = "", size] = part.split(":");
        return { name, size: Number(size) };
      }),
    ),
  );

function splitNumbers(text: string): number[] {
  return text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
}

/** A switch: absent means false. */
export const switchValue = (): v.GenericSchema<unknown, boolean> =>
  v.optional(
    v.boolean((issue) => `takes no value, got ${received(issue)}`),
    false,
  );
