/**
 * Platforms of the toolkit. The Lite3's board is an rk3588, and only for that one were files made
 * and looked at.
 */

import { warn } from "../base/log.ts";

export const RK3588 = "rk3588";

/** What `config(target_platform=…)` of toolkit 2.3.2 and 2.5.0 takes. */
export const TARGETS = [
  RK3588,
  "rk3576",
  "rk3568",
  "rk3566",
  "rk3562",
  "rv1126b",
  "rv1106b",
  "rv1106",
  "rv1103b",
  "rv1103",
] as const;

export function warnOfTarget(target: string): void {
  if (target === RK3588) return;
  warn(`--target ${target}: only ${RK3588} was tried, a verdict for it says little of ${target}`);
}
