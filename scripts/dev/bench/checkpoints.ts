/** Export: start, whole processes, and against torch's own exporter. */

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createRandom } from "../../../src/base/random.ts";
import { writeStateDict } from "../../../src/formats/torch_writer.ts";
import { NATIVE_BINARY, ROOT, run } from "../project.ts";
import { makeVenv, TOOLS } from "../tools.ts";
import { line, RUNS, time } from "./measure.ts";

/** Widths of the checkpoint whose export is timed. */
export const WIDTHS = [45, 512, 256, 128, 12];

export function startUp(directory: string): void {
  const checkpoint = join(directory, "large.pt");
  writeFileSync(checkpoint, randomCheckpoint());
  const command = [
    NATIVE_BINARY,
    "export",
    checkpoint,
    "--activation",
    "elu",
    "--output",
    "l.onnx",
  ];
  time("--version", RUNS, 60, [NATIVE_BINARY, "--version"], directory);
  time(`export ${WIDTHS.join("-")}`, RUNS, 600, command, directory);
  const huge = join(directory, "huge.pt");
  writeFileSync(huge, randomCheckpoint(25_000_000));
  const fromHuge = [NATIVE_BINARY, "export", huge, "--activation", "elu", "--output", "h.onnx"];
  time("export from 100 MB", 3, 1000, fromHuge, directory);
  time(`export ${WIDTHS.join("-")} --no-check`, RUNS, 150, [...command, "--no-check"], directory);
}

/** The same network, exported by torch in a process of its own. */
const TORCH_EXPORT = `
import resource, torch
sizes = [${WIDTHS.join(", ")}]
layers = []
for inputs, outputs in zip(sizes, sizes[1:]):
    layers += [torch.nn.Linear(inputs, outputs), torch.nn.ELU()]
model = torch.nn.Sequential(*layers[:-1]).eval()
torch.onnx.export(model, (torch.zeros(1, sizes[0]),), "torch.onnx", opset_version=18, dynamo=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
`;

/** Whole processes: torch.onnx.export, import included, against ours with and without its check. */
export function againstTorch(directory: string): void {
  const name = "export against torch.onnx.export";
  // torch is in the training's environment, the onnx that its exporter wants in the tests'.
  const torchHome = makeVenv(join(ROOT, "scripts", "train", "requirements.txt"), ["--no-deps"]);
  const onnxHome = TOOLS.python();
  if ("missing" in torchHome || "missing" in onnxHome) {
    line({ name, skipped: "no Python environments with torch and onnx could be made" });
    return;
  }
  const findOnnx = "import onnx, os; print(os.path.dirname(os.path.dirname(onnx.__file__)))";
  const env = { PYTHONPATH: run([onnxHome.path, "-c", findOnnx]).stdout.trim() };
  writeFileSync(join(directory, "torch_export.py"), TORCH_EXPORT);
  const checkpoint = join(directory, "large.pt");
  const ours = [NATIVE_BINARY, "export", checkpoint, "--activation", "elu", "--output", "l.onnx"];
  const best = (command: readonly string[]): Measure => {
    const runs = Array.from({ length: 3 }, () => measure(command, directory, env));
    return runs.reduce((one, two) => (two.ms < one.ms ? two : one));
  };
  const torch = best([torchHome.path, "-W", "ignore", "torch_export.py"]);
  const checked = best(ours);
  const unchecked = best([...ours, "--no-check"]);
  line({ name: `${name}, time`, ratio: checked.ms / torch.ms, budget: 1 / 2 });
  line({ name: `${name}, time with --no-check`, ratio: unchecked.ms / torch.ms, budget: 1 / 10 });
  line({ name: `${name}, memory`, ratio: checked.mb / torch.mb, budget: 1 / 2 });
}

interface Measure {
  readonly ms: number;
  /** Largest resident set, megabytes. */
  readonly mb: number;
}

function measure(
  command: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>>,
): Measure {
  const started = performance.now();
  const { exitCode, resourceUsage, stderr } = Bun.spawnSync([...command], {
    cwd,
    env: { ...process.env, ...env },
    stderr: "pipe",
  });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
  return { ms: performance.now() - started, mb: (resourceUsage?.maxRSS ?? NaN) / 1e6 };
}

/** A checkpoint of those widths, with `extra` numbers beside the policy. */
export function randomCheckpoint(extra = 0): Uint8Array {
  const random = createRandom(1);
  const values = (count: number, scale: number): Float32Array =>
    Float32Array.from({ length: count }, () => random.normal() * scale);
  const tensors = WIDTHS.slice(1).flatMap((outputs, i) => {
    const inputs = WIDTHS[i] ?? 0;
    const weight = values(outputs * inputs, 1 / Math.sqrt(inputs));
    return [
      [`actor.${2 * i}.weight`, { shape: [outputs, inputs], values: weight }],
      [`actor.${2 * i}.bias`, { shape: [outputs], values: values(outputs, 0.1) }],
    ] as const;
  });
  const critic = { shape: [extra], values: new Float32Array(extra) };
  const beside = extra === 0 ? {} : { "critic.0.weight": critic };
  return writeStateDict({ ...Object.fromEntries(tensors), ...beside });
}
