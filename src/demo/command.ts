/**
 * `lite3rl demo`: the whole way in one call, and its result as a page, a table and a document.
 */

import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import { join, resolve } from "node:path";
import * as v from "valibot";
import { version } from "../../package.json" with { type: "json" };
import { present } from "../base/assert.ts";
import { Lite3Error, quote } from "../base/errors.ts";
import { stopOnSignals } from "../base/stop.ts";
import { checkOutput, writeFileAtomic } from "../base/files.ts";
import { type CommandResult, defineCommand, pathValue } from "../cli/command.ts";
import { microseconds, passed, seconds, table } from "../cli/output.ts";
import { MAE_GATE } from "../compare/statistics.ts";
import { parityDocument } from "../parity/document.ts";
import { encodeRknnDouble } from "../formats/rknn_double.ts";
import { openIsolated } from "../runtime/isolated.ts";
import { type DemoReport, renderDemoPage } from "../report/demo_page.ts";
import { type DemoResult, runDemo, WALK_COMMAND, WALK_S } from "./demo.ts";

/** What the page and the document say of the result. */
const NOTES = [
  "No NPU and no robot took part: the policy ran on this machine's CPU, the robot in MuJoCo.",
  "Latency is the agent's: observation out, action back, over the Unix socket on this machine.",
  "Parity compares float32 with an emulation of the NPU's fp16 arithmetic; it is no board figure.",
] as const;
const DOUBLE_NOTE =
  "Stage npu ran a test double of the NPU library on the CPU (evidence: double): it shows that " +
  "the way to the library works, and no figure of an NPU.";

export default defineCommand({
  name: "demo",
  positionals: "",
  summary: "Carry the built-in policy through every stage, to a walking robot and a report",
  example: "demo",
  flags: {
    output: {
      value: "<dir>",
      help: "Where everything goes (default: ./lite3rl-demo)",
      schema: v.optional(pathValue(), "lite3rl-demo"),
    },
    double: {
      value: "<library>",
      help: "One stage more, over this test double of the NPU library (ffi/stub)",
      schema: v.optional(pathValue()),
    },
  },
  async run(_positionals, flags) {
    const page = join(flags.output, "report.html");
    checkOutput(page, []);
    const started = performance.now();
    const startedAt = new Date().toISOString();
    using stop = stopOnSignals();
    const result = await runDemo(flags.output, stop, await findDouble(flags.double));
    const report = describe(result, startedAt);
    writeFileAtomic(page, renderDemoPage(report));
    return conclude(result, report, page, (performance.now() - started) / 1000);
  },
});

/** Known to be the double before the first stage, rather than after all the others. */
async function findDouble(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  const library = resolve(path);
  const problem = existsSync(library) ? await runNothing(library) : "there is no such file";
  if (problem === undefined) return library;
  throw new Lite3Error(
    problem === "there is no such file" ? "NOT_FOUND" : "UNSUPPORTED",
    `Cannot run the demo over ${quote(path)}: ${problem}; need the test double of the NPU ` +
      "library: from source, bun run demo --double builds it",
  );
}

/** Has the library run a model of its own without layers; why it cannot, or is not the double. */
async function runNothing(library: string): Promise<string | undefined> {
  const tensor = (name: string) => ({ name, shape: [1, 1], rounding: { kind: "none" } as const });
  const model = encodeRknnDouble({
    of: "nothing",
    inputs: [tensor("obs")],
    outputs: [tensor("action")],
    layers: [],
  });
  try {
    const env = { LITE3RL_DOUBLE: "1" };
    using backend = await openIsolated(model, { library, core: "auto", io: "float", env });
    return backend.arithmetic === "double" ? undefined : "it is another library";
  } catch (error) {
    if (!(error instanceof Lite3Error)) throw error;
    // What that error asks for is not what is needed here.
    const [problem = ""] = error.message.replace(/^Cannot load [^:]*: /, "").split(", need ");
    return problem;
  }
}

const degrees = (radians: number): number => (radians * 180) / Math.PI;

function describe(result: DemoResult, startedAt: string): DemoReport {
  const { walk, stand, parity, stages } = result;
  const { trace } = walk.episode;
  const { summary } = walk;
  const { comparison, sides } = parity;
  return {
    version,
    startedAt,
    machine: `${process.arch}, ${cpus().length} cores, Linux ${release()}, Bun ${Bun.version}`,
    ok: stages.every(({ ok }) => ok),
    stages,
    walk: {
      walkedM: summary.walkedM,
      falls: summary.falls,
      command: WALK_COMMAND,
      overruns: present(summary.overruns, "the walk kept its period"),
      rateHz: summary.rateHz,
      durationS: summary.durationS,
      trajectorySha256: walk.trajectorySha256,
    },
    stand: {
      driftM: Math.abs(stand.summary.walkedM),
      feetDown: present(stand.summary.feetDown),
      durationS: stand.summary.durationS,
    },
    trace: {
      timeS: trace.map(({ timeS }) => timeS),
      heightM: trace.map(({ position }) => present(position)[2]),
      velocity: trace.map(({ velocity }) => present(velocity).slice(0, 2)),
      yawRate: trace.map(({ yawRate }) => present(yawRate)),
      footContact: trace.map(({ footContact }) => present(footContact)),
      rollDeg: trace.map(({ attitude }) => degrees(present(attitude)[0])),
      pitchDeg: trace.map(({ attitude }) => degrees(present(attitude)[1])),
    },
    latencyUs: { samples: walk.episode.latencyUs, ...summary.latencyUs },
    parity: {
      pass: comparison.mae <= MAE_GATE,
      mae: comparison.mae,
      max: comparison.max,
      samples: comparison.samples,
      gate: MAE_GATE,
      evidence: { a: sides[0].evidence, b: sides[1].evidence },
      perOutput: comparison.perOutput,
      errors: [...comparison.errors],
    },
    notes: [
      ...NOTES,
      ...(result.npu === undefined ? [] : [DOUBLE_NOTE]),
      describeSpeed(summary.velocity[0]),
    ],
  };
}

/** The policy's own trait, which a reader would otherwise take for a fault of the chain. */
function describeSpeed(velocity: number): string {
  const [commanded] = WALK_COMMAND;
  const percent = Math.round((velocity / commanded - 1) * 100);
  return (
    `Commanded ${commanded} m/s, walked ${velocity.toFixed(2)} m/s on average after the first ` +
    `second (${percent} %): so the demo policy was trained, see fixtures/demo_policy/README.md.`
  );
}

function conclude(
  result: DemoResult,
  report: DemoReport,
  page: string,
  took: number,
): CommandResult {
  const { walk, latencyUs, stages, ok } = report;
  const rows = stages.map(({ name, seconds: time, ok: good, ranOn, detail }) => [
    name,
    passed(good),
    seconds(time),
    ranOn,
    detail,
  ]);
  const failed = stages.filter((stage) => !stage.ok).map(({ name }) => name);
  const latency = { p50: latencyUs.p50, p99: latencyUs.p99, max: latencyUs.max };
  return {
    json: {
      ok,
      version,
      stages,
      walkedM: walk.walkedM,
      falls: walk.falls,
      overruns: walk.overruns,
      stand: report.stand,
      parity: parityDocument(result.parity),
      service: parityDocument(result.service),
      ...(result.npu === undefined ? {} : { npu: parityDocument(result.npu) }),
      latencyUs: latency,
      trajectorySha256: walk.trajectorySha256,
      page,
      seconds: took,
      notes: report.notes,
    },
    text: [
      table(["stage", "", "time", "ran on", "result"], rows, ["time"]),
      "",
      `Walked ${walk.walkedM.toFixed(2)} m in ${WALK_S} s with ${walk.falls} falls; latency p50 ` +
        `${microseconds(latency.p50)}, p99 ${microseconds(latency.p99)}, max ` +
        `${microseconds(latency.max)}; ${seconds(took)} in all`,
      NOTES[0],
      ...(result.npu === undefined ? [] : [DOUBLE_NOTE]),
      `Result page: ${page}`,
    ].join("\n"),
    ...(failed.length === 0 ? {} : { failure: `stages that failed: ${failed.join(", ")}` }),
  };
}
