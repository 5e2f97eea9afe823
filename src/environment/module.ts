/**
 * An environment written in TypeScript or JavaScript: a file that this process imports. It has
 * Gymnasium's `reset` and `step`, and says its sizes (see the README for an example).
 */

import { existsSync } from "node:fs";
import { basename, resolve } from "node:path";
import * as v from "valibot";
import { Lite3Error, quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { consoleToStderr } from "../base/log.ts";
import type { Environment, StepInfo } from "./environment.ts";
import { checkFinite, checkTerms, controlPeriod } from "./foreign.ts";
import { offerModuleApi } from "./module_api.ts";
import { type FailureWatch, watchFailures } from "./module_failures.ts";
import { type ModuleProgram, type ProgramOptions, programError } from "./program.ts";

const width = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.vectorWidth));
const numbers = v.array(v.pipe(v.number(), v.finite()));
const vector3 = v.tuple([v.number(), v.number(), v.number()]);

const environmentSchema = v.looseObject({
  observationSize: width,
  actionSize: width,
  controlPeriodMs: v.optional(v.number()),
  observationTerms: v.optional(v.array(v.object({ name: v.string(), size: width }))),
  actionBounds: v.optional(v.object({ low: numbers, high: numbers })),
  reset: v.function(),
  step: v.function(),
  setCommand: v.optional(v.function()),
});

/** `info` of a step, in whatever language: what lite3rl knows in it is checked. */
export const infoSchema = v.looseObject({
  timeS: v.optional(v.number()),
  position: v.optional(vector3),
  velocity: v.optional(vector3),
  attitude: v.optional(vector3),
  yawRate: v.optional(v.number()),
  footContact: v.optional(v.array(v.boolean())),
  ending: v.optional(v.string()),
});

const stepSchema = v.looseObject({
  observation: v.unknown(),
  reward: v.pipe(v.number(), v.finite()),
  terminated: v.boolean(),
  truncated: v.optional(v.boolean(), false),
  info: v.optional(infoSchema, {}),
});

interface Methods {
  reset(seed: number): unknown;
  step(action: Float32Array): unknown;
  setCommand(command: readonly [number, number, number]): unknown;
  [Symbol.dispose]?(): void;
}

export async function openModuleEnvironment(
  spec: string,
  program: ModuleProgram,
  options: ProgramOptions & { readonly rateHz?: number | undefined },
): Promise<Environment> {
  const opening = `Cannot open environment ${quote(spec)}`;
  using opened = new DisposableStack();
  const call = caller(program, options, opened.use(watchFailures()));
  const made = await call(opening, async () => {
    const value = await loadExport(opening, program);
    return isClass(value) ? new value() : typeof value === "function" ? value() : value;
  });
  const description = check(opening, "the environment", environmentSchema, made);
  const { observationSize, actionSize, actionBounds } = description;
  const terms = description.observationTerms ?? [{ name: "observation", size: observationSize }];
  checkTerms(opening, terms, observationSize);
  const controlPeriodMs = controlPeriod(spec, description.controlPeriodMs, options.rateHz);
  const user = made as Methods;
  const observation = new Float32Array(observationSize);
  const observe = (action: string, value: unknown): Float32Array => {
    copyVector(action, "an observation", value, observation);
    return observation;
  };
  let steps = 0;
  const watching = opened.move();
  return {
    name: spec,
    observationSize,
    actionSize,
    controlPeriodMs,
    observationTerms: terms,
    ...(actionBounds === undefined ? {} : { actionBounds }),
    async reset(seed = 0) {
      steps = 0;
      const action = `Cannot reset environment ${quote(spec)}`;
      return observe(action, await call(action, () => user.reset(seed)));
    },
    async step(values) {
      const action = `Cannot step environment ${quote(spec)}`;
      const found = await call(action, () => user.step(values));
      const { reward, terminated, truncated, info, ...rest } = check(
        action,
        "the step",
        stepSchema,
        found,
      );
      steps++;
      const timeS = (steps * controlPeriodMs) / 1000;
      const seen = observe(action, rest.observation);
      const told = { timeS, ...info } as StepInfo;
      return { observation: seen, reward, terminated, truncated, info: told };
    },
    ...(description.setCommand === undefined
      ? {}
      : {
          setCommand: async (command: readonly [number, number, number]): Promise<void> => {
            const action = `Cannot command environment ${quote(spec)}`;
            await call(action, () => user.setCommand(command));
          },
        }),
    [Symbol.dispose]() {
      user[Symbol.dispose]?.();
      watching.dispose();
    },
  };
}

/** The export that the program names. Throws NOT_FOUND when it or the file is not there. */
export async function loadExport(action: string, { path, name }: ModuleProgram): Promise<unknown> {
  if (!existsSync(path)) throw new Lite3Error("NOT_FOUND", `${action}: there is no such file`);
  consoleToStderr();
  offerModuleApi();
  const exports = (await import(resolve(path))) as Record<string, unknown>;
  const wanted = name ?? "default";
  if (wanted in exports) return exports[wanted];
  const found = Object.keys(exports).map(quote).join(", ") || "nothing";
  throw new Lite3Error(
    "NOT_FOUND",
    `${action}: the file exports ${found}, need ${quote(wanted)}` +
      (name === undefined ? `, or name one: ${path}:${Object.keys(exports)[0] ?? "name"}` : ""),
  );
}

/** Runs the user's code: what it throws becomes an error with its place, and it may not hang. */
export function caller(
  { path }: ModuleProgram,
  options: ProgramOptions,
  watch: FailureWatch,
): <T>(action: string, run: () => T | Promise<T>) => Promise<T> {
  return async (action, run) => {
    let timer: Timer | undefined;
    try {
      watch.check();
      const found = run();
      if (!(found instanceof Promise)) {
        watch.check();
        return found;
      }
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => {
          const reason = `no answer within ${options.timeoutMs / 1000} s`;
          reject(programError(action, `${reason}; give it longer with --env-timeout`));
        }, options.timeoutMs);
      });
      const settled = await Promise.race([found, late, watch.failed]);
      watch.check();
      return settled;
    } catch (error) {
      if (error instanceof Lite3Error) throw error;
      const stack = error instanceof Error ? error.stack : undefined;
      const [place] = stack?.match(new RegExp(`${RegExp.escape(basename(path))}:\\d+`)) ?? [];
      const where = place === undefined ? "" : ` in ${place}`;
      throw programError(action, `${describe(error)}${where}`, stack, options);
    } finally {
      clearTimeout(timer);
    }
  };
}

export function isClass(value: unknown): value is new (...args: number[]) => object {
  return typeof value === "function" && /^class\b/.test(Function.prototype.toString.call(value));
}

/** Copies the user's numbers; throws PROGRAM unless there are as many as needed, all finite. */
export function copyVector(action: string, what: string, value: unknown, into: Float32Array): void {
  const isArray = Array.isArray(value) || (ArrayBuffer.isView(value) && "length" in value);
  if (!isArray) {
    throw programError(
      action,
      `it gave ${what} that is ${kindOf(value)}, need ${into.length} numbers`,
    );
  }
  const row = value as ArrayLike<unknown>;
  if (row.length !== into.length) {
    throw programError(action, `it gave ${what} of ${row.length} numbers, need ${into.length}`);
  }
  const other = Array.from(row).findIndex((one) => typeof one !== "number");
  if (other >= 0) {
    throw programError(
      action,
      `it gave ${what} with ${kindOf(row[other])} at ${other}, need numbers`,
    );
  }
  into.set(row as ArrayLike<number>);
  checkFinite(action, what.replace(/^an? /, ""), into);
}

function check<S extends v.GenericSchema>(
  action: string,
  what: string,
  schema: S,
  value: unknown,
): v.InferOutput<S> {
  const checked = v.safeParse(schema, value);
  if (checked.success) return checked.output;
  const [issue] = checked.issues;
  const path = v.getDotPath(issue);
  if (path !== null && issue.input === undefined) {
    throw programError(action, `${what} has no ${quote(path)}`);
  }
  const found = `is ${issue.received}, need ${issue.expected ?? "another value"}`;
  throw programError(action, path === null ? `${what} ${found}` : `${path} of ${what} ${found}`);
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return `it threw ${String(error)}`;
  const [line = ""] = error.message.split("\n");
  return line === "" ? error.name : `${error.name}: ${line}`;
}

const kindOf = (value: unknown): string => (value === null ? "null" : typeof value);
