/**
 * Who acts while observations are collected: random actions, standing still, a model file, or a
 * program of the user's.
 */

import { existsSync } from "node:fs";
import { extname } from "node:path";
import { closest } from "fastest-levenshtein";
import { Lite3Error, quote } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import type { ActionBounds } from "../environment/environment.ts";
import { parseProgram, PROGRAM_DEFAULTS, type ProgramOptions } from "../environment/program.ts";
import { openPolicy } from "../runtime/open.ts";
import {
  drawingBounds,
  openModulePolicy,
  openPythonPolicy,
  type PolicyPlace,
} from "./program_policies.ts";

export interface Actor extends Disposable {
  readonly label: string;
  act(observation: Float32Array, action: Float32Array): void | Promise<void>;
  /** A new episode begins: a recurrent policy forgets the last one. */
  reset?(): void | Promise<void>;
}

const BUILT_IN = ["random", "stand"] as const;
const NEED = "need random, stand, an .onnx file, module.path:Class or ./my_policy.ts";

/** Is it a model file, which may need observation statistics? */
export function isModelFile(spec: string): boolean {
  return !BUILT_IN.some((name) => name === spec) && parseProgram(spec) === undefined;
}

/** Opens `random`, `stand`, a program of the user's or a model file. */
export async function openActor(
  spec: string,
  place: PolicyPlace,
  seed: number,
  obsStats: string | undefined,
  options: ProgramOptions = PROGRAM_DEFAULTS,
): Promise<Actor> {
  if (spec === "random") return randomActor(seed, drawingBounds(place));
  if (spec === "stand") return standingActor();
  const program = parseProgram(spec);
  if (program?.kind === "python") return openPythonPolicy(spec, program, place, seed, options);
  if (program?.kind === "module") return openModulePolicy(spec, program, place, options);
  if (!existsSync(spec) && extname(spec) === "") {
    const near = closest(spec, BUILT_IN);
    throw new Lite3Error(
      "USAGE",
      `Cannot use policy ${quote(spec)}: did you mean ${near}? ${NEED}`,
    );
  }
  return modelActor(spec, place, obsStats);
}

/**
 * Uniform within the environment's limits, −1..1 where it has none, a new draw each step: covers
 * joint motion, not walking.
 */
function randomActor(seed: number, { low, high }: ActionBounds): Actor {
  const random = createRandom(seed);
  return {
    label: "random actions",
    act(_observation, action) {
      for (let i = 0; i < action.length; i++) {
        action[i] = random.between(low[i] as number, high[i] as number);
      }
    },
    [Symbol.dispose]() {},
  };
}

function standingActor(): Actor {
  return {
    label: "the default pose held",
    act: (_observation, action) => void action.fill(0),
    [Symbol.dispose]() {},
  };
}

async function modelActor(
  path: string,
  { observationSize, actionSize }: PolicyPlace,
  obsStats: string | undefined,
): Promise<Actor> {
  const policy = await openPolicy(path, obsStats);
  if (policy.observationSize !== observationSize || policy.actionSize !== actionSize) {
    policy[Symbol.dispose]();
    throw new Lite3Error(
      "CONFIG",
      `Cannot collect with ${quote(path)}: it is ${policy.observationSize} → ` +
        `${policy.actionSize}, the environment needs ${observationSize} → ${actionSize}`,
    );
  }
  let state = policy.backend.createState();
  return {
    label: path,
    act: (observation, action) => policy.act(observation, action, state),
    reset: () => void (state = policy.backend.createState()),
    [Symbol.dispose]: () => policy[Symbol.dispose](),
  };
}
