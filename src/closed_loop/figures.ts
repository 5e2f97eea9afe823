/**
 * What is compared of two gaits, and by how much one may be worse and still walk as well.
 */

import * as v from "valibot";
import { checkYaml, readYaml } from "../policy/yaml_file.ts";
import { GAIT_LIMITS } from "../run_log/verdict.ts";

interface FigureKind {
  readonly unit: string;
  /** Which way is worse. */
  readonly worse: "more" | "less";
  /** By how much it may be worse. */
  readonly margin: number;
  /** Does an episode that ended by a fall count? Its gait is one of falling, its way is short. */
  readonly ofFalls: boolean;
}

/** A tenth of what a robot that is fit to walk must keep: the demo policy has a third to spare. */
const SHARE = 1 / 10;
const gait = (unit: string, limit: number): FigureKind => ({
  unit,
  worse: "more",
  margin: Number((limit * SHARE).toPrecision(3)),
  ofFalls: false,
});

/**
 * Names are those of `agent --verdict` where the figure is; margins are a tenth of its limits.
 *
 * - falls: of all episodes, each with a push. One in twenty is the least that the usual number of
 *   episodes can tell from none.
 * - distance_m: along the commanded direction, of an episode of 8 s; the margin is what the margin
 *   of the velocity makes of that.
 * - height_m: mean of the base; the demo policy's is 0.34, and the limit 0.25.
 * - torque_rms_nm: of the joint that has most.
 */
export const WALK_FIGURES = {
  falls: { unit: "of episodes", worse: "more", margin: 0.05, ofFalls: true },
  velocity_error_mps: gait("m/s", GAIT_LIMITS.velocity_error_mps),
  yaw_error_radps: gait("rad/s", GAIT_LIMITS.yaw_error_radps),
  distance_m: { unit: "m", worse: "less", margin: 0.2, ofFalls: true },
  height_m: { unit: "m", worse: "less", margin: 0.01, ofFalls: false },
  roll_rms_deg: gait("°", GAIT_LIMITS.roll_rms_deg),
  pitch_rms_deg: gait("°", GAIT_LIMITS.pitch_rms_deg),
  slip_mps: gait("m/s", GAIT_LIMITS.slip_mps),
  torque_rms_nm: gait("Nm", GAIT_LIMITS.torque_rms_nm),
  cost_of_transport: gait("", GAIT_LIMITS.cost_of_transport),
} as const satisfies Readonly<Record<string, FigureKind>>;

export type FigureName = keyof typeof WALK_FIGURES;
export type Margins = Readonly<Record<FigureName, number>>;

export const FIGURE_NAMES = Object.keys(WALK_FIGURES) as FigureName[];

export const MARGINS = Object.fromEntries(
  FIGURE_NAMES.map((name) => [name, WALK_FIGURES[name].margin]),
) as Margins;

const MarginsFile = v.strictObject(
  Object.fromEntries(
    FIGURE_NAMES.map((name) => [name, v.optional(v.pipe(v.number(), v.minValue(0)))]),
  ),
);

/** The margins of a YAML file over the usual; a name that is none is refused. */
export function readMargins(path: string): Margins {
  return { ...MARGINS, ...(checkYaml(path, MarginsFile, readYaml(path) ?? {}) as object) };
}
