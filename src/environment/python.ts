/**
 * An environment written in Python: Gymnasium's or old gym's `reset` and `step`, in a process of
 * its own.
 */

import * as v from "valibot";
import { quote } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import type { Environment, StepInfo, StepResult } from "./environment.ts";
import { checkFinite, checkTerms, controlPeriod } from "./foreign.ts";
import { infoSchema } from "./module.ts";
import { type ProgramOptions, programError, type PythonProgram } from "./program.ts";
import { type PythonProcess, startPython } from "./python_process.ts";

export interface PythonEnvironment extends Environment {
  /** A Python policy may run in it too. */
  readonly process: PythonProcess;
}

export function isPythonEnvironment(environment: object): environment is PythonEnvironment {
  return "process" in environment;
}

const width = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(LIMITS.vectorWidth));
const limits = v.nullable(v.array(v.nullable(v.number())));

const descriptionSchema = v.object({
  observationSize: width,
  actionSize: width,
  low: limits,
  high: limits,
  periodMs: v.nullable(v.number()),
  terms: v.nullable(v.array(v.tuple([v.string(), width]))),
  takesCommand: v.boolean(),
});

const stepSchema = v.object({
  reward: v.number(),
  terminated: v.boolean(),
  truncated: v.boolean(),
  info: infoSchema,
});

/** Starts the environment. `rateHz` is for those that do not know theirs. */
export async function openPythonEnvironment(
  spec: string,
  program: PythonProgram,
  options: ProgramOptions & { readonly rateHz?: number | undefined; readonly seed: number },
): Promise<PythonEnvironment> {
  const python = startPython(options);
  try {
    const opening = `Cannot open environment ${quote(spec)}`;
    const request = { op: "environment", program, seed: options.seed } as const;
    const { document } = await python.ask(opening, request);
    const checked = v.safeParse(descriptionSchema, document);
    if (!checked.success) {
      const [issue] = checked.issues;
      throw programError(opening, `its ${v.getDotPath(issue)}: ${issue.message}`);
    }
    const { terms, observationSize } = checked.output;
    if (terms)
      checkTerms(
        opening,
        terms.map(([name, size]) => ({ name, size })),
        observationSize,
      );
    return connect(spec, checked.output, python, options.rateHz);
  } catch (error) {
    python[Symbol.dispose]();
    throw error;
  }
}

function connect(
  spec: string,
  description: v.InferOutput<typeof descriptionSchema>,
  python: PythonProcess,
  rateHz: number | undefined,
): PythonEnvironment {
  const { observationSize, actionSize, terms, low, high, takesCommand } = description;
  const controlPeriodMs = controlPeriod(spec, description.periodMs ?? undefined, rateHz);
  const observation = new Float32Array(observationSize);
  const stepping = `Cannot step environment ${quote(spec)}`;
  const resetting = `Cannot reset environment ${quote(spec)}`;
  let steps = 0;
  const observe = (action: string, numbers: Float32Array): Float32Array => {
    checkFinite(action, "observation", numbers);
    observation.set(numbers);
    return observation;
  };
  return {
    name: spec,
    process: python,
    observationSize,
    actionSize,
    controlPeriodMs,
    observationTerms:
      terms?.map(([name, size]) => ({ name, size })) ??
      ([{ name: "observation", size: observationSize }] as const),
    ...(isBounded(low) && isBounded(high) ? { actionBounds: { low, high } } : {}),
    async reset(seed = 0) {
      steps = 0;
      const { numbers } = await python.ask(resetting, { op: "reset", seed });
      return observe(resetting, numbers);
    },
    async step(action): Promise<StepResult> {
      const { document, numbers } = await python.ask(stepping, { op: "step" }, action);
      const checked = v.safeParse(stepSchema, document);
      if (!checked.success) {
        const [issue] = checked.issues;
        const found = `is ${issue.received}, need ${issue.expected ?? "another value"}`;
        throw programError(stepping, `${v.getDotPath(issue)} of the step ${found}`);
      }
      const { reward, terminated, truncated } = checked.output;
      steps++;
      const timeS = (steps * controlPeriodMs) / 1000;
      const info = { timeS, ...checked.output.info } as StepInfo;
      const seen = observe(stepping, numbers);
      return { observation: seen, reward, terminated, truncated, info };
    },
    ...(takesCommand
      ? {
          setCommand: async (command: readonly [number, number, number]): Promise<void> => {
            await python.ask(`Cannot command environment ${quote(spec)}`, {
              op: "command",
              command,
            });
          },
        }
      : {}),
    [Symbol.dispose]: () => python[Symbol.dispose](),
  };
}

function isBounded(limits: readonly (number | null)[] | null): limits is readonly number[] {
  return limits !== null && limits.every((limit) => limit !== null);
}
