/**
 * `lite3rl log`: what is in the log of a run, and whether a policy would act the same again.
 */

import * as v from "valibot";
import { describeSource, Lite3Error, quote } from "../base/errors.ts";
import { writeFileAtomic } from "../base/files.ts";
import { checkOutputFiles, textKind } from "../base/output_files.ts";
import { type CommandResult, defineCommand, numberValue, pathValue } from "../cli/command.ts";
import { POLICY_FLAGS } from "../cli/npu_flags.ts";
import { figure, microseconds, passed, table } from "../cli/output.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import type { PolicyOptions } from "../runtime/open.ts";
import { createGait } from "../run_log/gait.ts";
import { readRunLog } from "../run_log/read_run_log.ts";
import { csvOfLog, FIRST_COLUMN } from "./csv.ts";
import { replayLog } from "./replay.ts";

interface LogFlags extends PolicyOptions {
  readonly output?: string | undefined;
  readonly model?: string | undefined;
  readonly obsStats?: string | undefined;
  readonly mae: number;
}

type Action = (path: string, flags: LogFlags) => Promise<CommandResult> | CommandResult;

const ACTIONS: Readonly<Record<string, Action>> = { summary, csv, replay };

export default defineCommand({
  name: "log",
  positionals: "<action> <file>",
  summary: "Say what the log of a run holds, as figures or CSV, or replay it through a policy",
  details: [
    "  summary FILE   gait, torque, latency and events",
    "  csv FILE       one line per step, to stdout or --output",
    "  replay FILE    the recorded observations through --model: are its actions those recorded?",
  ],
  example: "log summary run.mcap",
  flags: {
    output: {
      value: "<csv>",
      help: "csv: the file to write (default: stdout)",
      schema: v.optional(pathValue()),
    },
    model: {
      value: "<file>",
      help: "replay: the policy, an .onnx or .rknn file",
      schema: v.optional(pathValue()),
    },
    obsStats: {
      value: "<npz>",
      help: "replay: mean and std of the observations",
      schema: v.optional(pathValue()),
    },
    mae: {
      value: "<limit>",
      help: `replay: mean absolute error that still passes (default: ${MAE_GATE})`,
      schema: v.optional(numberValue(0, 1e6), MAE_GATE),
    },
    ...POLICY_FLAGS,
  },
  unused: ([word = ""]) => [
    ...(word === "csv" ? [] : ["output"]),
    ...(word === "replay" ? [] : ["model", "obsStats"]),
  ],
  async run([word = "", path = ""], flags: LogFlags) {
    const action = Object.hasOwn(ACTIONS, word) ? ACTIONS[word] : undefined;
    if (action === undefined) {
      const known = Object.keys(ACTIONS).join(", ");
      throw new Lite3Error("USAGE", `Unknown action ${quote(word)} for log: need one of ${known}`);
    }
    const stray = (["output", "model", "obsStats"] as const).find(
      (key) => flags[key] !== undefined && (key === "output" ? "csv" : "replay") !== word,
    );
    if (stray !== undefined) {
      const flag = { output: "--output", model: "--model", obsStats: "--obs-stats" }[stray];
      const user = stray === "output" ? "csv" : "replay";
      throw new Lite3Error("USAGE", `${flag} is for log ${user}, not ${word}`);
    }
    return await describeSource("Cannot read log", path, () => action(path, flags));
  },
});

function summary(path: string): CommandResult {
  // The mass comes before the first step in the file, and is known only when all is read.
  const { description } = readRunLog(path, () => {});
  const mass = Number(description.massKg);
  const gait = createGait(mass > 0 ? mass : undefined);
  const { events, complete } = readRunLog(path, (step) => gait.add(step));
  const figures = gait.figures();
  const { latencyUs } = figures;
  const list = (values: readonly number[] | null): string => values?.map(figure).join(", ") ?? "";
  const rows: [string, string][] = [
    ["time", `${figures.durationS.toFixed(2)} s, ${figures.steps} steps`],
    ["velocity error", measured(figures.velocityErrorMps, "m/s RMS")],
    ["yaw error", measured(figures.yawErrorRadps, "rad/s RMS")],
    [
      "height",
      figures.heightM === null
        ? NOT_MEASURED
        : `${figures.heightM.min.toFixed(3)} to ${figures.heightM.max.toFixed(3)} m`,
    ],
    ["roll, pitch", `${measured(figures.rollRmsDeg)}, ${measured(figures.pitchRmsDeg, "° RMS")}`],
    ["slip", measured(figures.slipMps, "m/s")],
    ["foot force", `${list(figures.footForcePeakN) || NOT_MEASURED} N at most (FL FR HL HR)`],
    ["asymmetry", measured(figures.footAsymmetry)],
    ["torque RMS", `${list(figures.torqueRmsNm) || NOT_MEASURED} Nm`],
    ["torque peak", `${list(figures.torquePeakNm) || NOT_MEASURED} Nm`],
    ["cost of transport", measured(figures.costOfTransport)],
    [
      "overruns",
      figures.overruns === null
        ? "not counted: the run kept no period (--fast)"
        : `${figures.overruns} of ${figures.steps}`,
    ],
    [
      "latency",
      `p50 ${microseconds(latencyUs.p50)}, p99 ${microseconds(latencyUs.p99)}, ` +
        `max ${microseconds(latencyUs.max)} (${description.backend}, ${description.evidence})`,
    ],
    ...events.map(({ timeS, name, message }): [string, string] => [
      `at ${timeS.toFixed(2)} s`,
      `${name}: ${message}`,
    ]),
    ...(complete ? [] : [["end", "missing: the run was cut off"] as [string, string]]),
  ];
  return {
    json: { ...figures, events, complete, description },
    text: table(["run", description.started ?? ""], rows),
  };
}

const NOT_MEASURED = "not measured";
const measured = (value: number | null, unit = ""): string =>
  value === null ? NOT_MEASURED : `${figure(value)} ${unit}`.trimEnd();

const CSV = textKind("CSV of a log", `${FIRST_COLUMN},`);

function csv(path: string, { output }: LogFlags): CommandResult {
  checkOutputFiles([{ path: output, flag: "--output", kind: CSV }], [path]);
  const { text, rows, columns } = csvOfLog(path);
  if (output === undefined) return { json: { rows, columns, text }, text: text.trimEnd() };
  writeFileAtomic(output, text);
  return { json: { rows, columns, output }, text: `${output}: ${rows} steps` };
}

async function replay(path: string, flags: LogFlags): Promise<CommandResult> {
  const { model, obsStats, mae: gate } = flags;
  if (model === undefined) {
    throw new Lite3Error("USAGE", "log replay needs a policy: --model policy.onnx");
  }
  const { comparison, evidence, recorded } = await replayLog(path, model, obsStats, flags);
  const { errors: _errors, ...statistics } = comparison;
  const { mae, max, worst, samples } = comparison;
  const pass = mae <= gate;
  return {
    json: { pass, gate: { mae: gate }, ...statistics, evidence: { recorded, replayed: evidence } },
    text: [
      `${samples} observations of ${path} through ${model} (${evidence}; recorded: ${recorded})`,
      `largest difference ${figure(max)}: step ${worst.sample}, ${worst.output}`,
      `MAE ${figure(mae)} against ${figure(gate)}: ${passed(pass)}`,
    ].join("\n"),
    ...(pass ? {} : { failure: `MAE is ${figure(mae)}, above ${figure(gate)}` }),
  };
}
