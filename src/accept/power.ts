/**
 * The board's power, from a source that is named: a sensor of the kernel's hwmon, a command that
 * prints watts, or a file whose last line has them. Without one the row is not measured: nothing
 * is derived from clocks or loads.
 *
 * Sensors are INA chips and their like: `powerN_input` in microwatts, or current and voltage of one
 * channel (`currN_input` mA, `inN_input` mV), as the kernel's hwmon interface has them.
 */

import { closeSync, openSync } from "node:fs";
import { Lite3Error, quote } from "../base/errors.ts";
import { readFile } from "../base/files.ts";
import { type Machine, namesLike, numberOf, textOf } from "../doctor/machine.ts";
import { openTree } from "../doctor/tree.ts";
import { runGroup } from "../rknn_toolkit/process_group.ts";

const HWMON = "/sys/class/hwmon";
/** Longest wait for what a command prints. */
const COMMAND_LIMIT_MS = 5_000;
const FILE_BYTES_MAX = 64 << 20;
/** No board of a Lite3 takes as much: a larger figure is of another unit. */
const WATTS_MAX = 1_000;

export interface PowerSource {
  readonly name: string;
  /** Watts now. Throws where that is not to be had. */
  read(): number | Promise<number>;
}

export interface PowerOptions {
  readonly root: string;
  readonly powerSensor?: string | undefined;
  readonly powerCmd?: string | undefined;
  readonly powerFile?: string | undefined;
}

/**
 * The source, or why there is none. Throws USAGE where two are named.
 *
 * @param elsewhere why this machine's sensors are not the board's, if they are not
 */
export function openPower(
  options: PowerOptions,
  elsewhere?: string,
): PowerSource | { readonly missing: string } {
  const { powerSensor, powerCmd, powerFile } = options;
  const named = [powerSensor, powerCmd, powerFile].filter((one) => one !== undefined);
  if (named.length > 1) {
    throw new Lite3Error(
      "USAGE",
      "--power-sensor, --power-cmd and --power-file are three sources: name one of them",
    );
  }
  if (powerCmd !== undefined) {
    return { name: `command ${quote(powerCmd)}`, read: () => runCommand(powerCmd) };
  }
  if (powerFile !== undefined) {
    return { name: `file ${quote(powerFile)}, last line`, read: () => lastLine(powerFile) };
  }
  if (elsewhere !== undefined) return { missing: elsewhere };
  return chooseSensor(options.root, powerSensor);
}

interface Sensor {
  readonly name: string;
  read(): number | undefined;
}

function chooseSensor(
  root: string,
  wanted: string | undefined,
): PowerSource | { readonly missing: string } {
  const machine = openTree(root);
  const sensors = findSensors(machine);
  const names = sensors.map(({ name }) => quote(name)).join(", ");
  const fitting = sensors.filter(({ name }) => wanted === undefined || name === wanted);
  const [sensor] = fitting;
  if (wanted !== undefined && fitting.length !== 1) {
    throw new Lite3Error(
      "USAGE",
      `Cannot use --power-sensor ${quote(wanted)}: there are ${names || "none"}`,
    );
  }
  if (sensor === undefined) {
    return { missing: "no power sensor in hwmon; name a meter with --power-cmd or --power-file" };
  }
  if (fitting.length > 1) {
    return { missing: `which sensor is the board's? Name one with --power-sensor: ${names}` };
  }
  const place = machine.isLive ? "" : `, in ${machine.place}`;
  return {
    name: `hwmon ${sensor.name}${place}`,
    read: () => watts(sensor.read(), `sensor ${sensor.name}`, "no number"),
  };
}

function findSensors(machine: Machine): Sensor[] {
  return namesLike(machine, HWMON, /^hwmon\d+$/).flatMap((place) => {
    const path = `${HWMON}/${place}`;
    const chip = textOf(machine, `${path}/name`) ?? place;
    const value = (file: string) => numberOf(machine, `${path}/${file}`);
    const direct = namesLike(machine, path, /^power\d+_(?:input|average)$/).map((file): Sensor => ({
      name: `${chip} ${file}`,
      read: () => scaled(value(file), 1e-6),
    }));
    if (direct.length > 0) return direct;
    return namesLike(machine, path, /^curr\d+_input$/).flatMap((file): Sensor[] => {
      const voltage = file.replace("curr", "in");
      if (value(voltage) === undefined) return [];
      const read = () => scaled(product(value(file), value(voltage)), 1e-6);
      return [{ name: `${chip} ${file}×${voltage}`, read }];
    });
  });
}

const scaled = (value: number | undefined, unit: number): number | undefined =>
  value === undefined ? undefined : value * unit;

const product = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a * b;

/** Whatever the command begins is ended with it, or after the limit. */
async function runCommand(command: string): Promise<number> {
  const lines: string[] = [];
  const nowhere = openSync("/dev/null", "w");
  try {
    // The last line may have no end of its own.
    const script = `${command}\nstatus=$?; echo; exit $status`;
    const { ended, exitCode } = await runGroup(["/bin/sh", "-c", script], {
      env: process.env,
      stderr: nowhere,
      onLine: (line) => lines.push(line),
      timeoutMs: COMMAND_LIMIT_MS,
    });
    if (ended === "timeout") {
      throw new Lite3Error("DEADLINE", `the command took more than ${COMMAND_LIMIT_MS} ms`);
    }
    if (exitCode !== 0) {
      throw new Lite3Error("NATIVE", `the command ended with status ${exitCode}, need 0 and watts`);
    }
  } finally {
    closeSync(nowhere);
  }
  const text = lines.join("\n");
  return watts(lastNumber(text), "the command", text);
}

function lastLine(path: string): number {
  const text = new TextDecoder().decode(readFile(path, FILE_BYTES_MAX));
  return watts(lastNumber(text), quote(path), text);
}

/** The last number of the last line that is not empty: `9.8`, or `12:00:01, 9.8`. */
function lastNumber(text: string): number | undefined {
  const line = text.trimEnd().split("\n").at(-1) ?? "";
  const found = /(-?\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*W?\s*$/i.exec(line)?.[1];
  return found === undefined ? undefined : Number(found);
}

function watts(value: number | undefined, who: string, said: string): number {
  if (value !== undefined && value >= 0 && value <= WATTS_MAX) return value;
  const found = value === undefined ? quote(said.trim().slice(-40)) : String(value);
  throw new Lite3Error("NATIVE", `${who} gave ${found}, need watts from 0 to ${WATTS_MAX}`);
}
