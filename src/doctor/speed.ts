/**
 * What decides how fast and how steadily the service answers: clocks and heat. None of it stops
 * the service.
 *
 * The places are those of the vendor's kernel on the RK3588: cpufreq policies 0 (slow cores), 4
 * and 6 (fast), devfreq `fdab0000.npu` and `dmc` (memory). Its own device tree throttles at 85 °C.
 */

import { NPU_DEVICE } from "./driver.ts";
import { type Machine, namesLike, numberOf, textOf } from "./machine.ts";
import { notChecked, ok, type Row, type Subject, warning } from "./row.ts";

const CPUFREQ = "/sys/devices/system/cpu/cpufreq";
const DEVFREQ = "/sys/class/devfreq";
const THERMAL = "/sys/class/thermal";
const HWMON = "/sys/class/hwmon";
const HOT_CELSIUS = 85;

interface Clock {
  readonly name: string;
  readonly governor: string;
  readonly mhz: number | undefined;
  /** What it is allowed, and what it could do. */
  readonly allowedMhz: number | undefined;
  readonly topMhz: number | undefined;
  /** Where what it is allowed is written, and the top in that file's unit. */
  readonly limit: { readonly path: string; readonly top: number | undefined };
}

export function checkSpeed({ machine }: Subject): Row[] {
  const policies = namesLike(machine, CPUFREQ, /^policy\d+$/);
  const cpu = policies.flatMap((name) => readCpuClock(machine, name) ?? []);
  const cpuPlace = `${CPUFREQ}/policy*/scaling_governor`;
  return [
    checkClocks("CPU clock", cpu, cpuPlace),
    ...[
      ["NPU clock", NPU_DEVICE],
      ["memory clock", "dmc"],
    ].map(([check = "", device = ""]) => {
      const clock = readDeviceClock(machine, device);
      const place = `${DEVFREQ}/${device}/governor`;
      return checkClocks(check, clock === undefined ? [] : [clock], place);
    }),
    checkTemperature(machine),
    checkPower(machine),
  ];
}

function readCpuClock(machine: Machine, name: string): Clock | undefined {
  const governor = textOf(machine, `${CPUFREQ}/${name}/scaling_governor`);
  if (governor === undefined) return undefined;
  const mhz = (file: string): number | undefined =>
    inMhz(numberOf(machine, `${CPUFREQ}/${name}/${file}`), 1e3);
  return {
    name,
    governor,
    mhz: mhz("scaling_cur_freq"),
    allowedMhz: mhz("scaling_max_freq"),
    topMhz: mhz("cpuinfo_max_freq"),
    limit: {
      path: `${CPUFREQ}/${name}/scaling_max_freq`,
      top: numberOf(machine, `${CPUFREQ}/${name}/cpuinfo_max_freq`),
    },
  };
}

function readDeviceClock(machine: Machine, device: string): Clock | undefined {
  const place = `${DEVFREQ}/${device}`;
  const governor = textOf(machine, `${place}/governor`);
  if (governor === undefined) return undefined;
  const steps = textOf(machine, `${place}/available_frequencies`)?.split(/\s+/).map(Number) ?? [];
  const largest = Math.max(...steps.filter(Number.isFinite));
  const top = Number.isFinite(largest) ? largest : undefined;
  return {
    name: device,
    governor,
    mhz: inMhz(numberOf(machine, `${place}/cur_freq`), 1e6),
    allowedMhz: inMhz(numberOf(machine, `${place}/max_freq`), 1e6),
    topMhz: inMhz(top, 1e6),
    limit: { path: `${place}/max_freq`, top },
  };
}

const inMhz = (value: number | undefined, unit: number): number | undefined =>
  value === undefined ? undefined : Math.round(value / unit);

function checkClocks(check: string, clocks: readonly Clock[], place: string): Row {
  if (clocks.length === 0) return notChecked(check, `there is no ${place}`);
  const found = clocks.map(describeClock).join(", ");
  const slow = clocks.filter(isSlow);
  if (slow.length === 0) return ok(check, found);
  const isHeldOnly = slow.every((clock) => isHeld(clock) && !hasSlowGovernor(clock));
  const needed = isHeldOnly
    ? "its top speed allowed"
    : "a governor that lets it run at its top speed: performance is the steadiest";
  const mends = [
    ...(isHeldOnly ? [] : [`echo performance | sudo tee ${place}`]),
    ...slow.filter(isHeld).map(({ limit }) => `echo ${limit.top} | sudo tee ${limit.path}`),
  ];
  return warning(check, found, needed, mends.join(" && "), "speed");
}

function describeClock({ name, governor, mhz, allowedMhz, topMhz }: Clock): string {
  const speed = mhz === undefined ? "" : ` ${mhz} MHz`;
  const isCapped = isHeld({ allowedMhz, topMhz });
  const limit = isCapped ? ` (held to ${allowedMhz} of ${topMhz})` : ` of ${topMhz ?? "?"}`;
  return `${name} ${governor}${speed}${limit}`;
}

const isSlow = (clock: Clock): boolean => isHeld(clock) || hasSlowGovernor(clock);

const isHeld = ({ allowedMhz, topMhz }: Pick<Clock, "allowedMhz" | "topMhz">): boolean =>
  allowedMhz !== undefined && topMhz !== undefined && allowedMhz < topMhz;

/** A governor of the user's own, `userspace`, is slow only if it stands below the top. */
function hasSlowGovernor({ governor, mhz, topMhz }: Clock): boolean {
  const top = topMhz ?? 0;
  return governor === "powersave" || (governor === "userspace" && (mhz ?? top) < top);
}

function checkTemperature(machine: Machine): Row {
  const zones = namesLike(machine, THERMAL, /^thermal_zone\d+$/).flatMap((zone) => {
    const name = textOf(machine, `${THERMAL}/${zone}/type`);
    const value = numberOf(machine, `${THERMAL}/${zone}/temp`);
    return name === undefined || value === undefined ? [] : [{ name, celsius: value / 1000 }];
  });
  if (zones.length === 0) return notChecked("temperature", "there is no thermal zone to read");
  const found = zones.map(({ name, celsius }) => `${name} ${celsius.toFixed(0)} °C`).join(", ");
  if (zones.every(({ celsius }) => celsius < HOT_CELSIUS)) return ok("temperature", found);
  const needed = `below ${HOT_CELSIUS} °C, where the clocks are lowered`;
  return warning("temperature", found, needed, "cool the board before anything is measured");
}

function checkPower(machine: Machine): Row {
  const sensors = namesLike(machine, HWMON, /^hwmon\d+$/).flatMap((place) => {
    const inputs = namesLike(machine, `${HWMON}/${place}`, /^power\d+_(?:input|average)$/);
    const name = textOf(machine, `${HWMON}/${place}/name`) ?? place;
    return inputs.map((input) => `${name} ${input}`);
  });
  if (sensors.length > 0) return ok("power sensor", sensors.join(", "));
  return notChecked(
    "power sensor",
    "hwmon has none, as on most boards: power needs a meter of its own",
  );
}
