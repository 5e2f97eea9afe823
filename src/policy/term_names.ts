/**
 * Names for the numbers that a policy takes and gives, from the contract of its training. Training
 * frameworks say the terms and their order, seldom how wide they are: names are only given where
 * the widths that are known make up the whole.
 */

import * as v from "valibot";

const termSchema = v.looseObject({
  name: v.string(),
  scale: v.optional(v.unknown()),
  history: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0),
  joints: v.optional(v.array(v.string())),
});
type Term = v.InferOutput<typeof termSchema>;

const contractSchema = v.looseObject({
  observation: v.optional(v.array(termSchema), []),
  action: v.optional(v.array(termSchema), []),
});

export interface Sizes {
  readonly observationSize: number;
  readonly actionSize: number;
}

export interface TermNames {
  readonly observationNames?: string[];
  readonly actionNames?: string[];
}

/** What `contract`, of whatever form, tells of a policy of these sizes. */
export function termNames(contract: unknown, sizes: Sizes): TermNames {
  const { observationSize, actionSize } = sizes;
  const parsed = v.safeParse(contractSchema, contract);
  if (!parsed.success) return {};
  const { observation, action } = parsed.output;
  const joints = action.flatMap((term) => plainJoints(term) ?? []);
  const actionNames = joints.length === actionSize ? joints : undefined;
  const observationNames = observation.flatMap((term) => namesOf(term, sizes, actionNames));
  return {
    ...(observationNames.length === observationSize ? { observationNames } : {}),
    ...(actionNames === undefined ? {} : { actionNames }),
  };
}

/** Vectors of the base, as training frameworks call them. */
const VECTORS = /ang_vel|angular_velocity|gyro|lin_vel|linear_velocity|gravity|command/;
/** One number a joint. */
const JOINT_TERMS = /joint|dof|action/;

/** `joint_pos[FL_HipX]`, or `gravity[0]` where the parts have no names; none of unknown width. */
function namesOf(term: Term, sizes: Sizes, actionNames: readonly string[] = []): string[] {
  const { observationSize, actionSize } = sizes;
  const { name, scale, history } = term;
  const own = plainJoints(term);
  const isVector = VECTORS.test(name);
  const isJoints = !isVector && JOINT_TERMS.test(name);
  const known = isVector ? 3 : isJoints ? actionSize : 0;
  const width = Array.isArray(scale) ? scale.length : (own?.length ?? known);
  const parts = own ?? (isJoints && width === actionSize ? actionNames : []);
  const steps = Math.max(1, history);
  // One too many is enough to see that they do not fit.
  return Array.from({ length: Math.min(width * steps, observationSize + 1) }, (_, i) => {
    const part = steps === 1 ? (parts[i] ?? i) : i;
    return `${name}[${part}]`;
  });
}

/** The joints where they are names in order, and no patterns. */
function plainJoints({ joints }: Term): readonly string[] | undefined {
  return joints?.every((joint) => /^[\w-]+$/.test(joint)) === true ? joints : undefined;
}
