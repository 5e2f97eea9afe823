/**
 * `bun run bench`: speeds and sizes of the built binary, one JSON line each, with the budget where
 * there is one. Figures of a busy machine are shapes, not promises: each line has the best and the
 * median of its runs, and ratios are taken in the same run.
 */

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRandom } from "../../src/base/random.ts";
import { decodeOnnx } from "../../src/formats/onnx.ts";
import { writeStateDict } from "../../src/formats/torch_writer.ts";
import { proveWeights } from "../../src/runtime/rknn_weights.ts";
import { RawClient } from "../../src/wire/client.ts";
import { emptyDouble } from "../../src/runtime/rknn_double_fixture.ts";
import build from "./build.ts";
import { buildStub } from "./build_double.ts";
import { BINARIES, NATIVE_BINARY, ROOT, run } from "./project.ts";
import { makeVenv, TOOLS } from "./tools.ts";

const FIXTURES = join(ROOT, "fixtures", "demo_policy");
/** Widths of the checkpoint whose export is timed. */
const WIDTHS = [45, 512, 256, 128, 12];
const RUNS = 7;
const REQUESTS = 20_000;

export default async function bench(): Promise<number> {
  const built = await build([]);
  if (built !== 0) return built;
  const directory = mkdtempSync(join(tmpdir(), "lite3rl-bench-"));
  try {
    sizes();
    startUp(directory);
    againstTorch(directory);
    npuCalls(directory);
    await service(directory);
    conversion(directory);
    time("demo, whole process", 1, 30_000, [NATIVE_BINARY, "demo", "--quiet"], directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return 0;
}

function line(figures: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify(figures));
}

function sizes(): void {
  for (const [arch, path] of Object.entries(BINARIES)) {
    line({ name: `binary, ${arch}`, unit: "MB", value: statSync(path).size / 1e6, budget: 140 });
  }
}

/** Times a whole process, `runs` times. */
function time(
  name: string,
  runs: number,
  budget: number,
  command: readonly string[],
  cwd: string,
): void {
  const tookMs = Array.from({ length: runs }, () => {
    const started = performance.now();
    const { status, stderr } = run(command, { cwd });
    if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
    return performance.now() - started;
  }).sort((a, b) => a - b);
  line({ name, unit: "ms", best: tookMs[0], median: tookMs[runs >> 1], runs, budget });
}

function startUp(directory: string): void {
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
function againstTorch(directory: string): void {
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

function randomCheckpoint(extra = 0): Uint8Array {
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

/** The NPU library's calls through FFI against those of C, on a network that computes nothing. */
function npuCalls(directory: string): void {
  const name = "NPU calls through FFI, set + run + get above C's, p50";
  const cc = TOOLS.cc();
  if ("missing" in cc) {
    line({ name, skipped: cc.missing });
    return;
  }
  const compiler = { arch: "native", cc: cc.path } as const;
  const [library, loop] = (["librknnrt_double.so", "call_loop"] as const).map((product) =>
    buildStub(product, compiler),
  ) as [string, string];
  const model = join(directory, "empty.rknn");
  writeFileSync(model, emptyDouble(1));
  const medianNs = (command: readonly string[]): number => {
    const env = { LITE3RL_DOUBLE: "1" };
    const { status, stdout, stderr } = run([...command, library, model, "100000"], { env });
    if (status !== 0) throw new Error(stderr);
    return Number(stdout);
  };
  const script = join(ROOT, "scripts", "dev", "call_loop.ts");
  const pairs = Array.from({ length: RUNS }, () => ({
    ours: medianNs([process.execPath, script]),
    c: medianNs([loop]),
  }));
  const above = pairs.map(({ ours, c }) => ours - c).sort((a, b) => a - b);
  line({ name, unit: "ns", median: above[RUNS >> 1], runs: RUNS, c: pairs[0]?.c, budget: 1000 });
}

/** Calibration set, emulated parity, conversion beside the toolkit's own time, proof of a file. */
function conversion(directory: string): void {
  const stats = ["--obs-stats", join(FIXTURES, "obs_stats.npz")];
  const collect = ["collect", "--env", "lite3", "--policy", "p.onnx", "--output", "obs.npy"];
  time("collect 2,048 observations", 3, 5000, [NATIVE_BINARY, ...collect, ...stats], directory);
  const parity = ["parity", "p.onnx", "emulated", "--dataset", "obs.npy", ...stats];
  time("parity with emulation, 2,048", 3, 2000, [NATIVE_BINARY, ...parity], directory);
  const toolkit = TOOLS.toolkit();
  if ("missing" in toolkit) {
    line({ name: "convert", skipped: toolkit.missing });
    return;
  }
  const convert = [NATIVE_BINARY, "convert", "p.onnx", "--dataset", "obs.npy", ...stats, "--json"];
  const besideMs = Array.from({ length: 3 }, () => {
    const started = performance.now();
    const { status, stdout, stderr } = run(convert, { cwd: directory });
    if (status !== 0) throw new Error(stderr);
    const { built } = JSON.parse(stdout) as { built: { toolkitSeconds: number }[] };
    return performance.now() - started - 1000 * (built[0]?.toolkitSeconds ?? NaN);
  }).sort((a, b) => a - b);
  const name = "convert, beside the toolkit's own time";
  line({ name, unit: "ms", best: besideMs[0], median: besideMs[1], runs: 3, budget: 500 });
  // The network of `startUp`: a file of 440 kB.
  const large = run([NATIVE_BINARY, "convert", "l.onnx", "--mae", "1"], { cwd: directory });
  if (large.status !== 0) throw new Error(large.stderr);
  const [rknn, onnx] = ["l.rknn", "l.onnx"].map((file) => readFileSync(join(directory, file)));
  const model = decodeOnnx(onnx as Uint8Array);
  const tookMs = Array.from({ length: RUNS }, () => {
    const started = performance.now();
    if (!proveWeights(rknn as Uint8Array, model).holds) throw new Error("l.rknn is not l.onnx");
    return performance.now() - started;
  }).sort((a, b) => a - b);
  const proof = { name: `weights of ${rknn?.length} bytes decoded and compared`, unit: "ms" };
  line({ ...proof, best: tookMs[0], median: tookMs[RUNS >> 1], runs: RUNS, budget: 50 });
}

/** Time to ready, and round trips through the socket against the same inference in process. */
async function service(directory: string): Promise<void> {
  const stats = join(FIXTURES, "obs_stats.npz");
  const source = join(FIXTURES, "policy.pt");
  const config = join(FIXTURES, "actor_config.yaml");
  const words = [NATIVE_BINARY, "export", source, "--config", config, "--output", "p.onnx"];
  const exported = run(words, { cwd: directory });
  if (exported.status !== 0) throw new Error(exported.stderr);
  const socket = join(directory, "policy.sock");
  const started = performance.now();
  const child = Bun.spawn(
    [
      NATIVE_BINARY,
      "serve",
      "--model",
      "p.onnx",
      "--obs-stats",
      stats,
      "--socket",
      socket,
      "--json",
    ],
    { cwd: directory, stdio: ["ignore", "pipe", "ignore"] },
  );
  const { value } = await child.stdout.getReader().read();
  const readyMs = performance.now() - started;
  const ready = JSON.parse(new TextDecoder().decode(value));
  line({ name: "serve, start to ready", unit: "ms", value: readyMs, budget: 1000 });

  using client = new RawClient({ kind: "unix", path: socket }, 5000);
  const observation = new Float32Array(ready.observationSize);
  const action = new Float32Array(ready.actionSize);
  const tookUs = Float64Array.from({ length: REQUESTS }, () => {
    const before = Bun.nanoseconds();
    client.infer(observation, action);
    return (Bun.nanoseconds() - before) / 1000;
  })
    .subarray(REQUESTS / 10)
    .sort();
  const at = (quantile: number): number => tookUs[Math.floor(tookUs.length * quantile)] ?? NaN;
  line({ name: "serve, round trip in a closed loop", unit: "us", p50: at(0.5), p99: at(0.99) });
  child.kill("SIGTERM");
  await child.exited;
}
