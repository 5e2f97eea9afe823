/**
 * Does a run's gait keep its limits? The limits are numbers of a YAML file, or these.
 */

import * as v from "valibot";
import { outputNames } from "../policy/contract.ts";
import { checkYaml, readYaml } from "../policy/yaml_file.ts";
import type { GaitFigures } from "./gait.ts";

const FEET = ["FL", "FR", "HL", "HR"] as const;

/**
 * Limits of a run in which a robot is fit to walk. The demo policy keeps each with a third to
 * spare; latency is the blueprint's 5 ms. Overruns are those of a machine with other work.
 */
export const GAIT_LIMITS = {
  falls: 0,
  velocity_error_mps: 0.25,
  yaw_error_radps: 0.3,
  height_min_m: 0.25,
  height_max_m: 0.42,
  roll_rms_deg: 5,
  pitch_rms_deg: 6,
  slip_mps: 0.25,
  foot_force_peak_n: 500,
  foot_asymmetry: 0.2,
  torque_rms_nm: 12,
  torque_peak_nm: 35,
  cost_of_transport: 2,
  overrun_share: 0.01,
  latency_p99_ms: 5,
} as const;

export type GaitLimits = Readonly<Record<keyof typeof GAIT_LIMITS, number>>;

const LIMIT_NAMES = Object.keys(GAIT_LIMITS) as (keyof GaitLimits)[];
/** Limits as a YAML file gives them: some or all, by name. */
export const gaitLimitsSchema = v.strictObject(
  Object.fromEntries(
    LIMIT_NAMES.map((name) => [
      name,
      v.optional(v.pipe(v.number(), v.finite("a finite number"), v.minValue(0))),
    ]),
  ),
);

/** The limits of a file over the others; a name that is none is refused. */
export function readGaitLimits<T extends Partial<GaitLimits>>(path: string, others: T): T {
  const given = checkYaml(path, gaitLimitsSchema, readYaml(path) ?? {}) as Partial<GaitLimits>;
  return { ...others, ...given };
}

export interface VerdictRow {
  readonly name: keyof GaitLimits;
  /** Null where it was not measured, which fails. */
  readonly found: number | null;
  readonly limit: number;
  readonly ok: boolean;
  /** Where the worst was, if there are several places. */
  readonly where?: string;
}

/** One row per limit that is given, in their order. */
export function judgeGait(
  figures: GaitFigures,
  falls: number,
  limits: Partial<GaitLimits>,
): readonly VerdictRow[] {
  const { heightM, latencyUs, steps, overruns } = figures;
  const joints = figures.torqueRmsNm === null ? [] : outputNames(figures.torqueRmsNm.length);
  const found: Readonly<Record<keyof GaitLimits, number | null | Worst>> = {
    falls,
    velocity_error_mps: figures.velocityErrorMps,
    yaw_error_radps: figures.yawErrorRadps,
    height_min_m: heightM?.min ?? null,
    height_max_m: heightM?.max ?? null,
    roll_rms_deg: figures.rollRmsDeg,
    pitch_rms_deg: figures.pitchRmsDeg,
    slip_mps: figures.slipMps,
    foot_force_peak_n: worstOf(figures.footForcePeakN, FEET),
    foot_asymmetry: figures.footAsymmetry,
    torque_rms_nm: worstOf(figures.torqueRmsNm, joints),
    torque_peak_nm: worstOf(figures.torquePeakNm, joints),
    cost_of_transport: figures.costOfTransport,
    overrun_share: overruns === null ? null : overruns / steps,
    latency_p99_ms: latencyUs.p99 / 1000,
  };
  return LIMIT_NAMES.flatMap((name) => {
    const [limit, value] = [limits[name], found[name]];
    if (limit === undefined) return [];
    const worst = typeof value === "number" || value === null ? { value } : value;
    const isLow = name === "height_min_m";
    const ok = worst.value !== null && (isLow ? worst.value >= limit : worst.value <= limit);
    const where = "where" in worst ? { where: worst.where } : {};
    return { name, found: worst.value, limit, ok, ...where };
  });
}

interface Worst {
  readonly value: number;
  readonly where: string;
}

function worstOf(values: readonly number[] | null, names: readonly string[]): Worst | null {
  if (values === null) return null;
  const value = Math.max(...values);
  return { value, where: names[values.indexOf(value)] ?? "" };
}
