/**
 * The limits of an acceptance: those of the blueprint's chapter 6, and how much must be measured.
 * A YAML file changes some of them.
 */

import * as v from "valibot";
import { stringify } from "yaml";
import { checkYaml, readYaml } from "../policy/yaml_file.ts";
import type { AcceptLimits } from "../report/accept_document.ts";
import { GAIT_LIMITS, gaitLimitsSchema } from "../run_log/verdict.ts";

/** Found figures must be below the first four. */
export const ACCEPT_LIMITS: AcceptLimits = {
  npu_latency_p99_ms: 5,
  preprocessing_p99_ms: 1,
  mae: 1e-3,
  power_w: 10,
  gait_duration_s: 600,
  /** Enough for a p99 with 99 % confidence (459) and for one query beyond the p99.9. */
  latency_queries_min: 1024,
  /** LoadGen's default for a single stream (min_duration_ms). */
  latency_duration_s: 10,
  /** The loop's own latency, socket included, must keep the period; the NPU has its own row. */
  gait: { ...GAIT_LIMITS, latency_p99_ms: 20 },
};

/** A minute of some µs a query fills 100 MB; more says nothing that the gait's run does not. */
const LATENCY_DURATION_MAX_S = 60;

const amount = v.optional(v.pipe(v.number(), v.finite("a finite number"), v.minValue(0)));
const limitsFileSchema = v.strictObject({
  npu_latency_p99_ms: amount,
  preprocessing_p99_ms: amount,
  mae: amount,
  power_w: amount,
  gait_duration_s: amount,
  latency_queries_min: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(1e6))),
  latency_duration_s: v.optional(
    v.pipe(v.number(), v.minValue(0), v.maxValue(LATENCY_DURATION_MAX_S)),
  ),
  gait: v.optional(gaitLimitsSchema),
});

/** The limits of a file over the defaults; a name that is none is refused. */
export function readAcceptLimits(path: string): AcceptLimits {
  const { gait, ...given } = checkYaml(path, limitsFileSchema, readYaml(path) ?? {});
  const both = { ...ACCEPT_LIMITS, ...given, gait: { ...ACCEPT_LIMITS.gait, ...gait } };
  return both as AcceptLimits;
}

/** Where less is asked by a smaller number. */
const LEAST: readonly string[] = [
  "height_min_m",
  "gait_duration_s",
  "latency_queries_min",
  "latency_duration_s",
];

/** Limits that demand less than the usual: `overrun_share 0.9 > 0.01`. */
export function looserThanUsual(limits: AcceptLimits): string[] {
  const flat = ({ gait, ...others }: AcceptLimits) => ({ ...others, ...gait });
  const usual = new Map(Object.entries(flat(ACCEPT_LIMITS)));
  return Object.entries(flat(limits)).flatMap(([name, limit]) => {
    const other = usual.get(name) ?? limit;
    if (LEAST.includes(name)) return limit < other ? [`${name} ${limit} < ${other}`] : [];
    return limit > other ? [`${name} ${limit} > ${other}`] : [];
  });
}

/** As a file that `--limits` takes. */
export const limitsYaml = (limits: AcceptLimits): string => stringify(limits).trimEnd();
