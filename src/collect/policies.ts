/**
 * Who acts while observations are collected: random actions, standing still, or a model file.
 */

import { existsSync } from "node:fs";
import { extname } from "node:path";
import { closest } from "fastest-levenshtein";
import { Lite3Error, quote } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import { openPolicy } from "../runtime/open.ts";

export interface Actor extends Disposable {
  readonly label: string;
  act(observation: Float32Array, action: Float32Array): void | Promise<void>;
  /** A new episode begins: a recurrent policy forgets the last one. */
  reset?(): void;
}

const BUILT_IN = ["random", "stand"] as const;
/** `module.path:Class` of Python, or a program file. */
const USER_PROGRAM = /^[\w.]+:\w+$|\.(?:ts|js|py)(?::\w+)?$/;

/** Is it a policy that needs no file? */
export function isBuiltIn(spec: string): boolean {
  return BUILT_IN.some((name) => name === spec);
}

/** Opens `random`, `stand` or a model file. */
export async function openActor(
  spec: string,
  sizes: { readonly observationSize: number; readonly actionSize: number },
  seed: number,
  obsStats: string | undefined,
): Promise<Actor> {
  if (spec === "random") return randomActor(seed);
  if (spec === "stand") return standingActor();
  if (!existsSync(spec)) {
    if (USER_PROGRAM.test(spec)) {
      throw new Lite3Error(
        "UNSUPPORTED",
        `Cannot use policy ${quote(spec)}: this version runs no policy from a user's program, ` +
          "need random, stand or an .onnx file",
      );
    }
    if (extname(spec) === "") {
      throw new Lite3Error(
        "USAGE",
        `Cannot use policy ${quote(spec)}: did you mean ${closest(spec, BUILT_IN)}? ` +
          "need random, stand or an .onnx file",
      );
    }
  }
  return modelActor(spec, sizes, obsStats);
}

/** Uniform in −1..1, a new draw each step: covers joint motion, not walking. */
function randomActor(seed: number): Actor {
  const random = createRandom(seed);
  return {
    label: "random actions",
    act(_observation, action) {
      for (let i = 0; i < action.length; i++) action[i] = random.between(-1, 1);
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
  sizes: { readonly observationSize: number; readonly actionSize: number },
  obsStats: string | undefined,
): Promise<Actor> {
  const policy = await openPolicy(path, obsStats);
  const { observationSize, actionSize } = sizes;
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
