/**
 * A comparison in three steps: inputs saved, outputs of each side saved where it runs, and the
 * comparison later, on another machine, without any model. Both files are .npz, so that numpy
 * reads them too: `obs` [rows, N], `actions_0` [rows, A] and so on, and `about`, JSON as bytes.
 */

import * as v from "valibot";
import { describeSource, FormatError, Lite3Error, quote } from "../base/errors.ts";
import { memorySource, readFile } from "../base/files.ts";
import { npzKind } from "../base/output_files.ts";
import { LIMITS } from "../base/limits.ts";
import { readNpz, writeNpz } from "../formats/npz.ts";
import type { Tensor } from "../formats/tensor.ts";
import { ARITHMETICS, type Arithmetic } from "../runtime/backend.ts";
import type { Observations } from "../dataset/observations.ts";
import { decodeKinds, encodeKinds } from "../dataset/sample_kinds.ts";

/** Are observations as the robot has them, or behind the normalizer already? */
export type Space = "raw" | "network";

export interface SavedSide {
  readonly label: string;
  readonly evidence: Arithmetic;
  /** Digest of the model's file, where the side is one. */
  readonly sha256?: string | undefined;
  readonly actions: Float32Array;
}

export interface SavedOutputs {
  readonly space: Space;
  readonly samples: Observations;
  readonly sides: readonly SavedSide[];
  /** When they were recorded, ISO 8601: what tells the same run from another of the same sides. */
  readonly recorded?: string | undefined;
}

const About = v.object({
  space: v.picklist(["raw", "network"]),
  dataset: v.string(),
  recorded: v.optional(v.string()),
  sides: v.array(
    v.object({
      label: v.string(),
      evidence: v.picklist(ARITHMETICS),
      sha256: v.optional(v.string()),
    }),
  ),
});

/** `outputs.npz`, or one side of it: `outputs.npz:1`. */
const SAVED = /^(.+\.npz)(?::(\d+))?$/;

export const isSaved = (spec: string): boolean => SAVED.test(spec);

/** The file of a side that is saved; any other side as it is. */
export const savedFile = (spec: string): string => SAVED.exec(spec)?.[1] ?? spec;

/** What `encodeInputs()` and `encodeOutputs()` give, by its first array. */
export const SAVED_FILE = npzKind("file of --save-inputs or --save-outputs", "obs");

const matrix = (data: Float32Array, rows: number): Tensor => ({
  dtype: "float32",
  shape: [rows, data.length / rows],
  data: Float32Array.from(data),
});

/** What `--dataset` reads again. */
export function encodeInputs(samples: Observations): Uint8Array {
  return writeNpz(inputArrays(samples));
}

function inputArrays({ data, rows, kinds }: Observations): Record<string, Tensor> {
  const obs = matrix(data, rows);
  return kinds === undefined ? { obs } : { obs, kinds: encodeKinds(kinds) };
}

export function encodeOutputs({ space, samples, sides, recorded }: SavedOutputs): Uint8Array {
  const about = JSON.stringify({
    space,
    dataset: samples.label,
    recorded,
    sides: sides.map(({ label, evidence, sha256 }) => ({ label, evidence, sha256 })),
  });
  const data = new TextEncoder().encode(about);
  return writeNpz({
    ...inputArrays(samples),
    ...Object.fromEntries(
      sides.map(({ actions }, i) => [`actions_${i}`, matrix(actions, samples.rows)]),
    ),
    about: { dtype: "uint8", shape: [data.length], data },
  });
}

export type SavedSideOfFile = SavedSide &
  Omit<SavedOutputs, "sides"> & {
    /** Its place among the sides of the file. */
    readonly index: number;
  };

/** The same answers of the same run, by whatever name the file goes: they could not differ. */
export const isSameRecording = (one: SavedSideOfFile, other: SavedSideOfFile): boolean =>
  one.index === other.index &&
  one.label === other.label &&
  one.recorded === other.recorded &&
  bits(one.actions).equals(bits(other.actions));

/** Of floats, so that NaN equals itself. */
export const bits = (values: Float32Array): Buffer =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/** Reads one side of a file that `--save-outputs` wrote. */
export async function readSavedSide(spec: string): Promise<SavedSideOfFile> {
  const [, path = spec, index] = SAVED.exec(spec) ?? [];
  const { sides, ...rest } = await readOutputs(path);
  if (index === undefined && sides.length > 1) {
    const choices = sides.map(({ label }, i) => `${path}:${i} (${label})`);
    throw new Lite3Error(
      "USAGE",
      `Cannot take ${quote(path)}: it has several sides, name one of them: ${choices.join(", ")}`,
    );
  }
  const side = sides[Number(index ?? 0)];
  if (side === undefined) {
    throw new Lite3Error("USAGE", `Cannot take ${quote(spec)}: it has ${sides.length} sides`);
  }
  return { ...rest, ...side, index: Number(index ?? 0) };
}

function readOutputs(path: string): Promise<SavedOutputs> {
  const bytes = readFile(path, LIMITS.modelBytes);
  return describeSource("Cannot read outputs", path, async () => {
    const arrays = await readNpz(memorySource(bytes));
    const about = arrays.get("about");
    if (about === undefined) {
      throw new FormatError('it has no array "about", need a file of parity --save-outputs');
    }
    const { space, dataset, recorded, sides } = parseAbout(about);
    const samples = readMatrix(arrays, "obs");
    const kinds = arrays.get("kinds");
    return {
      space,
      recorded,
      samples: {
        label: dataset,
        ...samples,
        ...(kinds && { kinds: decodeKinds(kinds, samples.rows) }),
      },
      sides: sides.map((side, i) => {
        const { data: actions, rows } = readMatrix(arrays, `actions_${i}`);
        if (rows === samples.rows) return { ...side, actions };
        throw new FormatError(`actions_${i} has ${rows} rows, need ${samples.rows} as obs has`);
      }),
    };
  });
}

function parseAbout({ data }: Tensor): v.InferOutput<typeof About> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(Uint8Array.from(data as Uint8Array)));
  } catch {
    throw new FormatError('its array "about" is not JSON');
  }
  const about = v.safeParse(About, value);
  if (about.success) return about.output;
  throw new FormatError(`its array "about" does not say what was run: ${about.issues[0].message}`);
}

function readMatrix(arrays: ReadonlyMap<string, Tensor>, name: string) {
  const tensor = arrays.get(name);
  const [rows = 0, columns = 0] = tensor?.shape ?? [];
  const data = tensor?.data;
  if (!(data instanceof Float32Array) || tensor?.shape.length !== 2 || rows * columns === 0) {
    throw new FormatError(`its array ${quote(name)} is not float32 [rows, columns] with a row`);
  }
  return { rows, data };
}
