/**
 * For tests of layouts: a checkpoint's bytes through detection and reading, with the hints that a
 * feed-forward ELU policy needs.
 */

import { memorySource } from "../../base/files.ts";
import { refusalOf } from "../../base/refusal_fixture.ts";
import type { Code } from "../../formats/pickle_fixture.ts";
import { readTorch } from "../../formats/torch.ts";
import { type SavedTensor, writeCheckpoint } from "../checkpoint_fixture.ts";
import type { Layer } from "../network.ts";
import { detectLayout } from "./detect.ts";
import { type PlanHints, type PlannedLayers, readPlan } from "./read_plan.ts";

/** Flags, and what the flags or a YAML would say of the plan. */
export interface Said extends Partial<PlanHints> {
  readonly layout?: string;
  readonly actor?: string;
}

export type State = Readonly<Record<string, SavedTensor>>;

const HINTS: PlanHints = {
  activation: "elu",
  outputActivation: "identity",
  normalizerEpsilon: undefined,
  distribution: undefined,
};

export async function readPlanned(
  bytes: Uint8Array,
  { layout, actor, ...hints }: Said = {},
): Promise<PlannedLayers & { readonly layout: string }> {
  const file = await readTorch(memorySource(bytes));
  const plan = detectLayout(file.root, { layout, actor });
  return { layout: plan.layout, ...readPlan(file, plan, { ...HINTS, ...hints }) };
}

/** The layers of a state dict, or of what `wrap` puts around it. */
export async function readState(
  state: State,
  wrap?: (code: Code) => Code,
  said?: Said,
): Promise<readonly Layer[]> {
  return (await readPlanned(writeCheckpoint(state, wrap), said)).layers;
}

export const refuseState = (state: State, said?: Said, wrap?: (code: Code) => Code) =>
  refusalOf(() => readState(state, wrap, said));
export const unsupported = (message: string) => ({ code: "UNSUPPORTED", message }) as const;
export const malformed = (message: string) => ({ code: "MALFORMED", message }) as const;

/** The tiny actor's keys with another word for `actor`. */
export const actorAs = (prefix: string) => (name: string) => name.replace(/^actor\b/, prefix);
