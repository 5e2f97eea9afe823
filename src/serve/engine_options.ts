/**
 * What the engines are told, from the flags: each checked here, before any work.
 */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Lite3Error, quote } from "../base/errors.ts";
import { warn } from "../base/log.ts";
import { plural } from "../base/text.ts";
import type { FlagValues } from "../cli/command.ts";
import { readObservations } from "../dataset/observations.ts";
import { readModel } from "../runtime/open.ts";
import { isRknnPath, libraryFor } from "../runtime/open_rknn.ts";
import { parseIds } from "./accounts.ts";
import { clientRoom, fileLimit } from "./client_room.ts";
import type { SERVE_FLAGS } from "./flags.ts";
import type { ModelFiles } from "./model_files.ts";
import type { EngineOptions } from "./settings.ts";

export type ServeFlags = FlagValues<typeof SERVE_FLAGS>;

/** Inferences in a row without an action: then the model or the NPU is broken. */
const FAILURES_MAX = 10;
/** Ranges go to the engine in one message of 64 KiB, some 20 characters a number. */
const RANGE_TERMS_MAX = 1_500;

export async function chooseOptions(flags: ServeFlags): Promise<EngineOptions> {
  const { backend, core, io, warmup, actionLimit, maxClients } = flags;
  const { allowUid, allowGid, record, recordRows, calibration, cpu, fifo, mlock } = flags;
  return {
    backend,
    librknnrt: libraryFor(flags.model, flags.librknnrt),
    core,
    io,
    warmup,
    actionLimit,
    maxClients: fewerClients(maxClients),
    failuresMax: FAILURES_MAX,
    allowUids: allowUid === undefined ? undefined : parseIds("user", allowUid, "--allow-uid"),
    allowGids: allowGid === undefined ? undefined : parseIds("group", allowGid, "--allow-gid"),
    record: record === undefined ? undefined : { path: resolve(record), rows: recordRows },
    ...(calibration === undefined ? {} : { ranges: await readRanges(calibration) }),
    cpu,
    fifo,
    mlock,
  };
}

/** As many clients as there may be open files for; fewer than asked for are said. */
function fewerClients(maxClients: number): number {
  const files = fileLimit();
  const room = clientRoom(files);
  if (room >= maxClients) return maxClients;
  warn(
    `serves ${plural(room, "client")} at a time and not ${maxClients}: more open files than ` +
      `${files} are not allowed; ulimit -n or LimitNOFILE= of the unit allow more`,
  );
  return room;
}

/** The model's files; with `--fallback` those of the policy that the CPU runs. */
export async function chooseFiles(flags: ServeFlags): Promise<ModelFiles> {
  const { model, obsStats, fallback, fallbackModel } = flags;
  if (fallback === undefined) {
    if (fallbackModel === undefined) return { model, obsStats };
    throw new Lite3Error(
      "USAGE",
      "Cannot use --fallback-model: it is for --fallback mlp, say both",
    );
  }
  if (!isRknnPath(model)) {
    throw new Lite3Error(
      "USAGE",
      `Cannot use --fallback with ${quote(model)}: it runs on the CPU already, need a .rknn`,
    );
  }
  const path = fallbackModel ?? model.replace(/\.rknn$/i, ".onnx");
  if (!existsSync(path)) {
    throw new Lite3Error(
      "NOT_FOUND",
      `Cannot fall back on ${quote(path)}: there is no such file, need the .onnx that the .rknn ` +
        "was converted from: --fallback-model",
    );
  }
  const { metadata } = await readModel(path);
  const takesStats = metadata?.normalizer !== "folded";
  return {
    model,
    obsStats,
    fallback: { model: path, obsStats: takesStats ? obsStats : undefined },
  };
}

/** Smallest and largest value of every observation term in a calibration set. */
async function readRanges(path: string): Promise<{ min: number[]; max: number[] }> {
  const { data, rows } = await readObservations(path);
  const width = data.length / rows;
  if (width > RANGE_TERMS_MAX) {
    throw new Lite3Error(
      "UNSUPPORTED",
      `Cannot watch ${quote(path)}: it has ${width} columns, --calibration takes up to ` +
        `${RANGE_TERMS_MAX}`,
    );
  }
  const min = Array.from(data.subarray(0, width));
  const max = [...min];
  for (let i = width; i < data.length; i++) {
    const column = i % width;
    const value = data[i] as number;
    if (value < (min[column] as number)) min[column] = value;
    if (value > (max[column] as number)) max[column] = value;
  }
  return { min, max };
}
