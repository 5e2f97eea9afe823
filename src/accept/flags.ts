/**
 * The flags of `accept`.
 */

import * as v from "valibot";
import {
  durationValue,
  type Flags,
  integerValue,
  pathValue,
  switchValue,
  textValue,
  wordsValue,
} from "../cli/command.ts";
import { NPU_FLAGS } from "../cli/npu_flags.ts";
import { ENVIRONMENT_HELP, PROGRAM_FLAGS } from "../cli/program_flags.ts";
import { ROWS } from "../report/accept_document.ts";

export const ACCEPT_FLAGS = {
  model: { value: "<file>", help: "The policy, a .rknn", schema: v.optional(pathValue()) },
  onnx: {
    value: "<onnx>",
    help: "What the model was converted from (default: the .onnx beside it)",
    schema: v.optional(pathValue()),
  },
  obsStats: {
    value: "<npz>",
    help: "mean and std of the observations",
    schema: v.optional(pathValue()),
  },
  dataset: {
    value: "<npy|npz>",
    help: "Observations on which the actions are compared (default: generated)",
    schema: v.optional(pathValue()),
  },
  service: {
    value: "<endpoint>",
    help: "Accept this running service, unix:PATH or tcp:HOST:PORT (default: starts its own)",
    schema: v.optional(textValue("unix:PATH or tcp:HOST:PORT")),
  },
  duration: {
    value: "<time>",
    help: "How long the gait is watched, in real time (default: 10m)",
    schema: v.optional(durationValue(), "10m"),
  },
  env: { value: "<env>", help: ENVIRONMENT_HELP, schema: v.optional(textValue("one"), "lite3") },
  seed: {
    value: "<n>",
    help: "Seed of the run and of generated observations (default: 0)",
    schema: v.optional(integerValue(0, 2 ** 31 - 1), 0),
  },
  limits: {
    value: "<yaml>",
    help: "Limits that differ from the usual; --print-limits shows those",
    schema: v.optional(pathValue()),
  },
  printLimits: { help: "Print the limits as YAML, and measure nothing", schema: switchValue() },
  allowMissing: {
    value: "<rows>",
    help: `Rows that may be not measured: ${ROWS.join(", ")}`,
    schema: v.optional(wordsValue(ROWS), []),
  },
  powerSensor: {
    value: "<name>",
    help: "Which sensor of hwmon is the board's, where there are several",
    schema: v.optional(textValue("a sensor such as 'ina226 power1_input'")),
  },
  powerCmd: {
    value: "<command>",
    help: "A shell command that prints watts, run once a second",
    schema: v.optional(textValue("a command")),
  },
  powerFile: {
    value: "<file>",
    help: "A file whose last line ends with watts, read once a second",
    schema: v.optional(pathValue()),
  },
  governor: {
    value: "<name>",
    help: "Try this governor for the time of the acceptance, such as performance",
    schema: v.optional(v.pipe(textValue("a governor"), v.regex(/^[a-z_]+$/))),
  },
  root: {
    value: "<dir>",
    help: "Sensors, clocks and drivers of another tree (default: /)",
    schema: v.optional(pathValue(), "/"),
  },
  output: {
    value: "<tar.gz>",
    help: "The archive (default: acceptance-<version>-<time>.tar.gz here)",
    schema: v.optional(pathValue()),
  },
  log: {
    value: "<mcap>",
    help: "Write the run's log there too, as it grows (a new file)",
    schema: v.optional(pathValue()),
  },
  junit: { value: "<xml>", help: "Write every row as JUnit XML", schema: v.optional(pathValue()) },
  timeout: {
    value: "<time>",
    help: "Longest wait for one answer of a service (default: 2s)",
    schema: v.optional(durationValue(), "2s"),
  },
  ...PROGRAM_FLAGS,
  ...NPU_FLAGS,
} as const satisfies Flags;
