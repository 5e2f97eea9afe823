import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { encodeOnnx } from "../formats/onnx.ts";
import { modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { checkOutputs, LOG_HEADING } from "./outputs.ts";

const directory = temporaryDirectory();
const place = (name: string, bytes?: Uint8Array | string): string => {
  const path = join(directory, name);
  if (bytes !== undefined) writeFileSync(path, bytes);
  return path;
};

const onnx = encodeOnnx(modelOf(TINY_NETWORK));
const model = place("policy.onnx", onnx);
const dataset = place("calib.npy", "\x93NUMPY");
const text = place("README.md", "a text");
const given = { model, dataset };
const write = (path: string): string => `Cannot write "${path}": `;

const REFUSED: readonly [what: string, Parameters<typeof checkOutputs>[0], message: string][] = [
  [
    "a user's text as output",
    { ...given, output: text },
    `${write(text)}it exists and is no .rknn: it is a text, name another output`,
  ],
  [
    "a user's log beside the output",
    { ...given, output: place("train.log", "epoch 1").slice(0, -4) },
    `${write(place("train.log"))}it exists and is no toolkit's log: it is a text, ` +
      "name another output",
  ],
  [
    "a user's JSON beside the output",
    { ...given, output: place("actor.json", "{}").slice(0, -5) },
    `${write(place("actor.json"))}it exists and is no record: it is a text, name another output`,
  ],
  [
    "another ONNX as output",
    { ...given, output: place("other.onnx", onnx) },
    `${write(place("other.onnx"))}it exists and is no .rknn: it is an ONNX, name another output`,
  ],
  [
    "the set as emulation",
    { ...given, output: place("a.rknn"), emitOnnx: dataset },
    `${write(dataset)}it is the input "${dataset}", name another output`,
  ],
  [
    "a text as emulation",
    { ...given, output: place("a.rknn"), emitOnnx: text },
    `${write(text)}it exists and is no ONNX: it is a text, name another output`,
  ],
  ...["", ".json", ".rejected", ".rejected.json", ".log"].map(
    (ending) =>
      [
        `an emulation of the name <output>${ending}`,
        { ...given, output: place("i.rknn"), emitOnnx: place(`i.rknn${ending}`) },
        `${write(place(`i.rknn${ending}`))}the ONNX goes there too, ` +
          "name another --emit-onnx or --output",
      ] as const satisfies (typeof REFUSED)[number],
  ),
  ...[".json", ".rejected", ".rejected.json", ".log"].map((ending): (typeof REFUSED)[number] => {
    const input = place(`q.rknn${ending}`, onnx);
    return [
      `the model where <output>${ending} goes`,
      { model: input, output: place("q.rknn") },
      expect.stringContaining(`it is the input "${input}"`) as unknown as string,
    ];
  }),
];
for (const [what, options, message] of REFUSED) {
  test(`checkOutputs() refuses ${what}`, async () => {
    if (what.startsWith("the model where")) writeFileSync(options.model, onnx);
    const others = [".json", ".rejected", ".rejected.json", ".log"].map((end) => `q.rknn${end}`);
    others.filter((name) => place(name) !== options.model).forEach((name) => place(name, ""));
    expect(await refusalOf(() => checkOutputs(options))).toEqual({ code: "CONFIG", message });
  });
}

test("checkOutputs() takes what conversions wrote, and empty files", () => {
  const output = place("good.rknn", "RKNN");
  place("good.rknn.json", '{"lite3rl":"0.1.0"}');
  place("good.rknn.rejected", "RKNN");
  place("good.rknn.rejected.json", "");
  place("good.rknn.log", `${LOG_HEADING}W no reason`);
  expect(() =>
    checkOutputs({ ...given, output, emitOnnx: place("emitted.onnx", onnx) }),
  ).not.toThrow();
});
