import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import {
  type ConversionRecord,
  encodeRecord,
  readRecord,
  recordPath,
} from "./conversion_record.ts";

const directory = temporaryDirectory();
const rknn = join(directory, "policy.rknn");
const digest = (letter: string): string => letter.repeat(64);

const RECORD: ConversionRecord = {
  lite3rl: "0.1.0",
  created: "2026-11-25T10:00:00.000Z",
  model: { file: "policy.onnx", sha256: digest("a"), metadata: { "lite3rl.layout": "rsl_rl" } },
  rknn: { sha256: digest("b"), bytes: 1000 },
  target: "rk3588",
  precision: "hybrid",
  algorithm: "normal",
  method: "channel",
  float16Layers: ["action"],
  toolkitLayers: ["action_mm"],
  toolkit: { "rknn-toolkit2": "2.5.0" },
  calibration: {
    file: "obs.npy",
    sha256: digest("c"),
    rows: 10,
    calibrationRows: 8,
    heldOutRows: 2,
    duplicates: 0,
    constantColumns: [{ column: 3, value: -0.5 }],
    normalisedBy: digest("d"),
  },
  seed: 0,
  parity: {
    evidence: "toolkit-simulator",
    samples: 2,
    label: "obs.npy",
    mae: 1e-4,
    max: 2e-4,
    cosine: 1,
    perOutput: [{ name: "knee", mae: 1e-4, max: 2e-4 }],
    gate: 1e-3,
    pass: true,
  },
  weights: {
    holds: false,
    layers: [
      {
        layer: "a",
        parameter: "weight",
        dtype: "int8",
        offset: 64,
        elements: 4,
        differing: 1,
        first: { index: [0, 1], offset: 65, file: 1, model: 2 },
        maxError: 1,
      },
      {
        layer: "a",
        parameter: "bias",
        dtype: "int32",
        offset: null,
        elements: 2,
        differing: 0,
        maxError: 0,
      },
    ],
    unproven: [],
  },
  problems: ["weight of a differs"],
  forced: true,
  stages: { build: 0.5 },
  seconds: 1.5,
  recipe: ["convert", "policy.onnx"],
};

const write = (text: string): void => writeFileSync(recordPath(rknn), text);

describe("readRecord()", () => {
  test("reads what encodeRecord() wrote", () => {
    write(encodeRecord(RECORD));
    expect(readRecord(rknn, digest("b"))).toEqual(RECORD);
  });

  test("refuses the record of another file", async () => {
    write(encodeRecord(RECORD));
    expect(await refusalOf(() => readRecord(rknn, digest("e")))).toEqual({
      code: "CONFIG",
      message:
        `Cannot use "${rknn}.json": it describes a file bbbbbbbbbbbb…, and "${rknn}" is ` +
        "eeeeeeeeeeee…; convert the model again",
    });
  });

  test("says where a record is broken", async () => {
    const broken = async (text: string) => {
      write(text);
      const { code, message } = await refusalOf(() => readRecord(rknn, digest("b")));
      return [code, message.replace(`Cannot read "${rknn}.json": `, "")];
    };
    const need = "; need what lite3rl convert wrote; delete it or convert again";
    expect([
      await broken("{"),
      await broken("{}"),
      await broken(encodeRecord({ ...RECORD, seed: -1 })),
      await broken(JSON.stringify({ ...RECORD, more: 1 })),
    ]).toEqual([
      ["MALFORMED", expect.stringContaining(need)],
      [
        "MALFORMED",
        expect.stringMatching(
          /^lite3rl: .*; need what lite3rl convert wrote; delete it or convert again$/,
        ),
      ],
      [
        "MALFORMED",
        expect.stringMatching(
          /^seed: .*; need what lite3rl convert wrote; delete it or convert again$/,
        ),
      ],
      [
        "MALFORMED",
        expect.stringMatching(
          /^more: .*; need what lite3rl convert wrote; delete it or convert again$/,
        ),
      ],
    ]);
  });

  test("says when there is none", async () => {
    const { code } = await refusalOf(() => readRecord(join(directory, "other.rknn"), digest("b")));
    expect(code).toBe("NOT_FOUND");
  });
});
