/** Inspects NumPy's files: the arrays in them, and what lite3rl would take them for. */

import type { ByteSource } from "../base/files.ts";
import { FormatError } from "../base/errors.ts";
import { LIMITS } from "../base/limits.ts";
import { readNpy } from "../formats/npy.ts";
import { readNpz } from "../formats/npz.ts";
import type { Tensor } from "../formats/tensor.ts";
import { readObservationStats, STD_FLOOR } from "../policy/normalizer.ts";
import { figure } from "../cli/output.ts";
import { plain, plural, shapeText, shellWord } from "../base/text.ts";
import type { Block, Fact, Finding } from "./finding.ts";

interface ArrayDescription {
  /** Null for an .npy, which holds one array without a name. */
  readonly name: string | null;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly nonFinite: number;
  /** Over the finite elements; null without any. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
}

/** What a set of arrays is good for; null where lite3rl has no use for it. */
interface Use {
  readonly use: "observation statistics" | "observations" | null;
  readonly facts: readonly Fact[];
  readonly details: Readonly<Record<string, unknown>>;
  readonly advice: readonly string[];
}

export function inspectNpy(path: string, source: ByteSource): Finding {
  if (source.size > LIMITS.modelBytes) {
    throw new FormatError(`at most ${LIMITS.modelBytes} bytes are taken`, "TOO_LARGE");
  }
  const tensor = readNpy(source.read(0, source.size));
  return describe("npy", "NumPy array (.npy)", [describeArray(null, tensor)], useOf(path, tensor));
}

export async function inspectNpz(path: string, source: ByteSource): Promise<Finding> {
  const arrays = await readNpz(source);
  const described = [...arrays].map(([name, tensor]) => describeArray(name, tensor));
  const chosen = arrays.get("obs") ?? (arrays.size === 1 ? [...arrays.values()][0] : undefined);
  const use =
    (await statisticsUse(path, arrays)) ??
    (chosen === undefined ? NO_USE : useOf(path, chosen, arrays));
  return describe("npz", "NumPy arrays (.npz)", described, use);
}

function describe(
  kind: "npy" | "npz",
  title: string,
  arrays: readonly ArrayDescription[],
  use: Use,
): Finding {
  const number = (value: number | null): string => (value === null ? "–" : figure(value));
  const rows = arrays.map(({ name, dtype, shape, nonFinite, min, max, mean }) => [
    ...(name === null ? [] : [plain(name, 40)]),
    dtype,
    shapeText(shape),
    number(min),
    number(max),
    number(mean),
    nonFinite === 0 ? "yes" : `no: ${nonFinite} are not`,
  ]);
  const head = ["array", "dtype", "shape", "min", "max", "mean", "finite"];
  const blocks: Block[] = [
    {
      head: kind === "npz" ? head : head.slice(1),
      rows,
      right: ["min", "max", "mean"],
    },
  ];
  if (use.facts.length > 0) blocks.unshift({ facts: use.facts });
  return {
    kind,
    title,
    details: { use: use.use, ...use.details, arrays },
    blocks,
    warnings: [],
    advice: use.advice,
  };
}

/** One pass over the elements, in their order. */
function describeArray(name: string | null, { dtype, shape, data }: Tensor): ArrayDescription {
  let [min, max, sum, finite] = [Infinity, -Infinity, 0, 0];
  for (const element of data) {
    const value = Number(element);
    if (!Number.isFinite(value)) continue;
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    finite++;
  }
  const none = finite === 0;
  return {
    name,
    dtype,
    shape,
    nonFinite: data.length - finite,
    min: none ? null : min,
    max: none ? null : max,
    mean: none ? null : sum / finite,
  };
}

const NO_USE: Use = {
  use: null,
  facts: [["use", "none: neither mean and std, nor observations"]],
  details: {},
  advice: [
    "lite3rl reads mean and std [N] as --obs-stats, and observations [rows, N] (array obs) as " +
      "--dataset",
  ],
};

/** Observations as `parity --dataset` and a calibration take them: [rows, width], all finite. */
function useOf(path: string, tensor: Tensor, among?: ReadonlyMap<string, Tensor>): Use {
  const [rows = 0, width = 0] = tensor.shape;
  if (tensor.shape.length !== 2 || rows === 0 || width === 0) return NO_USE;
  const bad = tensor.data.findIndex((value) => !Number.isFinite(Number(value)));
  const answers = among?.get("actions") ?? among?.get("action");
  const facts: Fact[] = [
    ["use", `observations: ${plural(rows, "row")} of ${width} numbers`],
    ...(answers === undefined
      ? []
      : [["", `with actions of ${answers.shape.at(-1) ?? 0} numbers beside them`] as const]),
  ];
  const at = `row ${Math.floor(bad / width)}, column ${bad % width}`;
  return {
    use: "observations",
    facts,
    details: { observations: { rows, width } },
    advice:
      bad < 0
        ? [
            `for a policy of ${width} observations: calibration set of a conversion, or`,
            `lite3rl parity policy.onnx emulated --dataset ${shellWord(path)}`,
          ]
        : [`parity and conversion refuse it: ${at} is ${tensor.data[bad]}, need finite numbers`],
  };
}

const STATISTICS = ["mean", "obs_mean", "std", "obs_std"];

/** Undefined where the names are not those of statistics; what is wrong with them otherwise. */
async function statisticsUse(
  path: string,
  arrays: ReadonlyMap<string, Tensor>,
): Promise<Use | undefined> {
  if (STATISTICS.filter((name) => arrays.has(name)).length < 2) return undefined;
  const stats = await readObservationStats(path);
  const stdMin = stats.std.reduce((least, value) => Math.min(least, value), Infinity);
  const belowFloor = stats.std.filter((value) => value < Math.fround(STD_FLOOR)).length;
  const size = stats.mean.length;
  const floor =
    belowFloor === 0
      ? `the least is ${figure(stdMin)}`
      : `${belowFloor} below ${STD_FLOOR}, which the service takes as ${STD_FLOOR}`;
  return {
    use: "observation statistics",
    facts: [
      ["use", `observation statistics: mean and std of ${size} numbers`],
      ["std", floor],
    ],
    details: { statistics: { size, stdMin, belowFloor } },
    advice: [
      "for a policy that was trained with it: fold it in, or give it to whoever runs the policy",
      `lite3rl export policy.pt --obs-stats ${shellWord(path)}`,
      `lite3rl serve --model policy.onnx --obs-stats ${shellWord(path)}`,
    ],
  };
}
