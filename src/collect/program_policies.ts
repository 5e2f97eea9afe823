/**
 * Policies of the user's own: a Python class or function, or an export of a TypeScript file, that
 * turns an observation into an action.
 */

import { quote } from "../base/errors.ts";
import type { ActionBounds } from "../environment/environment.ts";
import { checkFinite } from "../environment/foreign.ts";
import { caller, copyVector, isClass, loadExport } from "../environment/module.ts";
import {
  type ModuleProgram,
  type ProgramOptions,
  programError,
  type PythonProgram,
} from "../environment/program.ts";
import { watchFailures } from "../environment/module_failures.ts";
import { isPythonEnvironment } from "../environment/python.ts";
import { startPython } from "../environment/python_process.ts";
import type { Actor } from "./policies.ts";

/** What a policy is opened for. */
export interface PolicyPlace {
  readonly observationSize: number;
  readonly actionSize: number;
  readonly actionBounds?: ActionBounds;
}

/** Limits for drawing actions: the environment's, or −1..1, what trained policies stay near. */
export function drawingBounds({ actionSize, actionBounds }: PolicyPlace): ActionBounds {
  const all = (value: number): number[] => Array<number>(actionSize).fill(value);
  return actionBounds ?? { low: all(-1), high: all(1) };
}

/** In the environment's process where that is Python too, since a policy may ask for its spaces. */
export async function openPythonPolicy(
  spec: string,
  program: PythonProgram,
  place: PolicyPlace,
  seed: number,
  options: ProgramOptions,
): Promise<Actor> {
  const shared = isPythonEnvironment(place) ? place.process : undefined;
  const python = shared ?? startPython(options);
  const { observationSize, actionSize } = place;
  const sizes = { observationSize, actionSize, ...drawingBounds(place) };
  const acting = `Cannot act with policy ${quote(spec)}`;
  const dispose = (): void => {
    if (shared === undefined) python[Symbol.dispose]();
  };
  try {
    const opening = `Cannot open policy ${quote(spec)}`;
    await python.ask(opening, { op: "policy", program, sizes, seed });
  } catch (error) {
    dispose();
    throw error;
  }
  return {
    label: spec,
    async act(observation, action) {
      const { numbers } = await python.ask(acting, { op: "act" }, observation);
      checkFinite(acting, "action", numbers);
      action.set(numbers);
    },
    async reset() {
      await python.ask(`Cannot reset policy ${quote(spec)}`, { op: "begin" });
    },
    [Symbol.dispose]: dispose,
  };
}

interface UserPolicy {
  act(observation: Float32Array): unknown;
  reset?(): unknown;
}

/** A class, a factory without parameters, an object with `act`, or the function itself. */
export async function openModulePolicy(
  spec: string,
  program: ModuleProgram,
  { observationSize, actionSize }: PolicyPlace,
  options: ProgramOptions,
): Promise<Actor> {
  const opening = `Cannot open policy ${quote(spec)}`;
  const acting = `Cannot act with policy ${quote(spec)}`;
  using opened = new DisposableStack();
  const call = caller(program, options, opened.use(watchFailures()));
  const made = await call<unknown>(opening, async () => {
    const value = await loadExport(opening, program);
    if (isClass(value)) return new value(observationSize, actionSize);
    if (typeof value !== "function") return value;
    return value.length === 0 ? value() : { act: value };
  });
  const policy = made as UserPolicy | null | undefined;
  if (typeof policy?.act !== "function") {
    throw programError(opening, "it has no act(observation), need one that gives the action");
  }
  const watching = opened.move();
  return {
    label: spec,
    async act(observation, action) {
      const found = await call(acting, () => policy.act(observation.slice()));
      copyVector(acting, "an action", found, action);
    },
    async reset() {
      await call(`Cannot reset policy ${quote(spec)}`, () => policy.reset?.());
    },
    [Symbol.dispose]: () => watching.dispose(),
  };
}
