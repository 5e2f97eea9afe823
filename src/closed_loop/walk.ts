/**
 * One policy through episodes of the built-in environment, and what its gait was in each.
 */

import { Lite3Error, quote } from "../base/errors.ts";
import type { Environment } from "../environment/environment.ts";
import { createLite3 } from "../environment/lite3.ts";
import type { Terrain } from "../environment/lite3_model.ts";
import { LITE3_CONTRACT, observationSize } from "../policy/contract.ts";
import { createGait, type GaitFigures } from "../run_log/gait.ts";
import type { RunStep } from "../run_log/run_step.ts";
import type { Policy } from "../runtime/policy.ts";
import { runEpisode } from "./episode.ts";
import type { FigureName } from "./figures.ts";
import { commandAt, EPISODE_S, type Scenario } from "./scenarios.ts";

export interface Walk {
  /** How the robot fell; null where it did not. */
  readonly ending: string | null;
  /** Null where there is none: a cost of transport without way, an error without time. */
  readonly figures: Readonly<Record<FigureName, number | null>>;
}

export interface WalkOptions {
  /** Called with the number of episodes done. */
  readonly onEpisode?: (done: number) => void;
  readonly signal?: AbortSignal;
}

/** Throws CONFIG for a policy of another robot. */
export function checkWalker(
  label: string,
  { observationSize: from, actionSize: to }: Pick<Policy, "observationSize" | "actionSize">,
): void {
  const [sees, acts] = [observationSize(LITE3_CONTRACT), LITE3_CONTRACT.joints.length];
  if (from === sees && to === acts) return;
  throw new Lite3Error(
    "CONFIG",
    `Cannot walk with ${quote(label)}: it takes ${from} numbers and gives ${to}, the built-in ` +
      `environment gives ${sees} and takes ${acts}; leave --closed-loop out`,
  );
}

/** Walks all of them, each from a state of its own. */
export async function walk(
  policy: Policy,
  scenarios: readonly Scenario[],
  { onEpisode, signal }: WalkOptions = {},
): Promise<Walk[]> {
  const grounds = new Map<string, Environment>();
  const groundOf = async (terrain: Terrain): Promise<Environment> => {
    const key = describeTerrain(terrain);
    const found = grounds.get(key) ?? (await createLite3({ terrain }));
    grounds.set(key, found);
    return found;
  };
  try {
    const walks: Walk[] = [];
    for (const scenario of scenarios) {
      walks.push(await walkOne(policy, await groundOf(scenario.terrain), scenario, signal));
      signal?.throwIfAborted();
      onEpisode?.(walks.length);
    }
    return walks;
  } finally {
    for (const environment of grounds.values()) environment[Symbol.dispose]();
  }
}

async function walkOne(
  policy: Policy,
  environment: Environment,
  scenario: Scenario,
  signal: AbortSignal | undefined,
): Promise<Walk> {
  const { controlPeriodMs } = environment;
  const [command] = scenario.commands;
  // The first observation is made at the reset, with the command that stands then.
  if (command !== undefined) await environment.setCommand?.(command);
  const { atS, x, y } = scenario.push;
  const pushStep = Math.round((atS * 1000) / controlPeriodMs);
  const gait = createGait(environment.massKg);
  let wayM = 0;
  const episode = await runEpisode({
    environment,
    policy,
    steps: Math.round((EPISODE_S * 1000) / controlPeriodMs),
    seed: scenario.seed,
    realTime: false,
    commandAt: (step) => commandAt(scenario, step, controlPeriodMs),
    pushAt: (step) => (step === pushStep ? [x, y] : undefined),
    stop: {
      get requested() {
        return signal?.aborted === true;
      },
    },
    observe(step) {
      gait.add(step);
      wayM += wayAlong(step) * (controlPeriodMs / 1000);
      return Promise.resolve();
    },
  });
  return { ending: episode.fall ?? null, figures: figuresOf(gait.figures(), episode.fall, wayM) };
}

/** Speed in the direction that is commanded, m/s; 0 where none is. */
function wayAlong({ command = [0, 0, 0], info: { velocity = [0, 0, 0] } }: RunStep): number {
  const speed = Math.hypot(command[0], command[1]);
  return speed === 0 ? 0 : (velocity[0] * command[0] + velocity[1] * command[1]) / speed;
}

function figuresOf(gait: GaitFigures, fall: string | undefined, wayM: number): Walk["figures"] {
  return {
    falls: fall === undefined ? 0 : 1,
    velocity_error_mps: gait.velocityErrorMps,
    yaw_error_radps: gait.yawErrorRadps,
    distance_m: wayM,
    height_m: gait.heightM?.mean ?? null,
    roll_rms_deg: gait.rollRmsDeg,
    pitch_rms_deg: gait.pitchRmsDeg,
    slip_mps: gait.slipMps,
    torque_rms_nm: gait.torqueRmsNm === null ? null : Math.max(...gait.torqueRmsNm),
    cost_of_transport: gait.costOfTransport,
  };
}

export function describeTerrain(terrain: Terrain): string {
  return terrain.kind === "flat" ? "flat" : `step of ${terrain.heightM} m`;
}
