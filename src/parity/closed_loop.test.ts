/**
 * `parity --closed-loop`: the policy in float16 walks as well, one that stumbles does not, and what
 * cannot walk is refused by name.
 */

import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Ajv } from "ajv";
import { PARITY_SCHEMA } from "../../scripts/dev/schema.ts";
import { present } from "../base/assert.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { exportDemoPolicy, failed, OBS_STATS, run, runJson } from "../cli/program_fixture.ts";
import { MARGINS } from "../closed_loop/figures.ts";
import { planClosedLoop } from "../closed_loop/plan.ts";
import { spoilWeights, STUMBLING } from "../closed_loop/spoiled_policy_fixture.ts";
import { decodeOnnx, encodeOnnx } from "../formats/onnx.ts";
import { linear, modelOf, TINY_NETWORK } from "../policy/policy_fixture.ts";
import { seededRecurrent } from "../policy/recurrent_fixture.ts";
import type { ClosedLoop } from "../report/closed_loop_document.ts";
import { killServices, startService } from "../serve/service_fixture.ts";
import { compareSides, type ParityOptions } from "./compare_sides.ts";
import { judge } from "./judge.ts";

// Eighty pairs of episodes are half a minute of an idle machine.
setDefaultTimeout(300_000);

const directory = temporaryDirectory();
const place = (name: string): string => join(directory, name);
const stats = ["--obs-stats", OBS_STATS];
const stumbling = place("stumbling.onnx");
let model: string;

beforeAll(async () => {
  model = await exportDemoPolicy(directory);
  const spoiled = spoilWeights(decodeOnnx(readFileSync(model)), STUMBLING);
  writeFileSync(stumbling, encodeOnnx(spoiled));
});

afterAll(killServices);

interface Walked {
  readonly episodes?: number;
  readonly margins?: typeof MARGINS;
}

/** The document of a closed loop, in this process; a gate that leaves the verdict to the walk. */
async function walkBoth(
  a: string,
  b: string,
  walked: Walked = {},
  more: Partial<ParityOptions> = {},
) {
  const { episodes, margins = MARGINS } = walked;
  const plan = present(planClosedLoop({ closedLoop: true, episodes, seed: 0 }));
  const options = { samples: 256, seed: 0, space: "raw", timeoutMs: 20_000, ...more } as const;
  const closedLoop = { ...plan, margins };
  const result = await compareSides({ ...options, a, b, closedLoop });
  return judge(result, { mae: 10, target: "rk3588" });
}

const verdictOf = ({ closedLoop }: { readonly closedLoop?: ClosedLoop }) => closedLoop?.verdict;

describe("parity --closed-loop", () => {
  test("finds that the demo policy walks as well in float16 as in float32", async () => {
    const { pass, checks, closedLoop } = await walkBoth(
      model,
      "emulated:fp16",
      {},
      {
        obsStats: OBS_STATS,
      },
    );
    expect([pass, closedLoop?.verdict, closedLoop?.episodes]).toEqual([true, "walks as well", 80]);
    expect(checks.slice(1).map(({ name, failures, limit }) => [name, failures, limit])).toEqual(
      Object.entries(MARGINS).map(([name, margin]) => [`walks as well: ${name}`, [], margin]),
    );
    // It does differ: after seconds no two episodes are the same.
    const velocity = closedLoop?.figures.find(({ name }) => name === "velocity_error_mps");
    expect(velocity?.worsening?.high).toBeWithin(1e-6, MARGINS.velocity_error_mps);
  });

  test("finds that one with noise in its weights does not, and says by how much", async () => {
    const words = ["parity", model, stumbling, ...stats, "--closed-loop", "--episodes", "16"];
    const [report, junit] = [place("report.html"), place("report.xml")];
    const flags = ["--mae", "1", "--report", report, "--junit", junit];
    const { status, json, stderr } = await runJson([...words, ...flags]);
    const closedLoop = json["closedLoop"] as ClosedLoop;
    const [falls] = closedLoop.figures;
    expect([status, closedLoop.verdict, json["pass"]]).toEqual([1, "does not walk as well", false]);
    // By its MAE it would have passed here: a number that says nothing of falls.
    expect(json["checks"]).toContainEqual(expect.objectContaining({ name: "MAE", pass: true }));
    expect(falls).toMatchObject({ name: "falls", a: 0, pairs: 16, verdict: "worse" });
    expect(falls?.worsening?.low).toBeGreaterThan(MARGINS.falls);
    const failure = /falls is worse by 0\.\d+ of episodes \(95 %: 0\.\d+ to 0\.\d+\), margin 0\.05/;
    expect(stderr).toMatch(failure);
    expect(readFileSync(report, "utf8")).toMatch(failure);
    expect(readFileSync(report, "utf8")).toContain("b does not walk as well as a");
    expect(readFileSync(junit, "utf8")).toMatch(
      /name="walks as well: falls">\n\s*<failure message="falls is worse by/,
    );
    const schema = JSON.parse(readFileSync(PARITY_SCHEMA, "utf8")) as Record<string, unknown>;
    const validate = new Ajv({ allErrors: true }).compile(schema);
    expect([validate(json), validate.errors]).toEqual([true, null]);
  });

  test("fails for too few episodes, with the number that may tell", async () => {
    const words = ["parity", model, "mlp", ...stats, "--closed-loop", "--episodes", "4"];
    const { status, json, stderr } = await runJson(words);
    expect([status, verdictOf(json)]).toEqual([1, "not shown"]);
    expect(stderr).toContain("margin 0.05: not shown, --episodes 90 may tell");
    const margins = place("margins.yaml");
    writeFileSync(margins, "falls: 0.9\n");
    const wide = await run([...words, "--margins", margins]);
    expect(wide.stdout).toMatch(/falls .* 0\.9 +as well\n/);
  });

  test("gives the same document each time, and another for another seed", async () => {
    const words = ["parity", model, "emulated", ...stats, "--closed-loop", "--episodes", "3"];
    const [one, two, other] = await Promise.all([
      runJson(words),
      runJson(words),
      runJson([...words, "--seed", "1"]),
    ]);
    expect(two.json).toEqual(one.json);
    expect(other.json["closedLoop"]).not.toEqual(one.json["closedLoop"]);
  });
});

describe("a recurrent side of --closed-loop", () => {
  test("walks each episode from a state of its own, also through a service", async () => {
    const memory = seededRecurrent("gru", { inputs: 45, hidden: 4, layers: 1 });
    const head = linear(
      "actor",
      Array.from({ length: 12 }, (_, i) => [0.1, -0.05, 0.02, 0.01 * i]),
      Array<number>(12).fill(0),
    );
    const network = { layers: [memory, head], observationSize: 45, actionSize: 12 };
    const path = place("gru.onnx");
    writeFileSync(path, encodeOnnx(modelOf(network, { metadata: { normalizer: "folded" } })));
    const socket = place("s");
    // Fewer clients than episodes: a state's connection ends with the episode.
    await startService(["--model", path, "--socket", socket, "--max-clients", "4"]);
    const { closedLoop } = await walkBoth(path, `unix:${socket}`, { episodes: 6 });
    const differing = closedLoop?.runs.filter(({ a, b }) => !Bun.deepEquals(a, b));
    expect([closedLoop?.runs.length, differing]).toEqual([6, []]);
  });
});

describe("parity --closed-loop refuses", () => {
  const walk = "--closed-loop";

  test("saved outputs and the toolkit, which answer nothing new", async () => {
    const saved = place("outputs.npz");
    await run(["parity", model, ...stats, "--save-outputs", saved]);
    const cure = "name a side that runs: a model file, a service, onnx, mlp or emulated";
    expect([
      await run(["parity", model, saved, ...stats, walk]),
      await run(["parity", model, "toolkit", ...stats, walk]),
      await run(["parity", model, ...stats, "--save-outputs", place("o.npz"), walk]),
    ]).toEqual([
      failed(2, `Cannot walk with "${saved}": saved outputs answer no other observations, ${cure}`),
      failed(
        2,
        'Cannot walk with "toolkit": the toolkit\'s simulator builds anew for each observation, ' +
          cure,
      ),
      failed(
        2,
        "--report, --junit, --bisect and --closed-loop are for a comparison, name another side",
      ),
    ]);
  });

  test("a policy of another robot, and one without its statistics", async () => {
    const small = place("tiny.onnx");
    writeFileSync(small, encodeOnnx(modelOf(TINY_NETWORK)));
    const [other, bare] = [
      await run(["parity", small, "emulated", walk]),
      await run(["parity", model, "emulated", walk]),
    ];
    expect([other.status, bare.status]).toEqual([2, 2]);
    expect(other.stderr).toMatch(
      /Cannot walk with ".*tiny.onnx": it takes 2 numbers and gives 1, the built-in environment/,
    );
    expect(bare.stderr).toContain("it expects normalised observations, need --obs-stats");
  });

  test("flags of a closed loop that is not asked for", async () => {
    const words = ["parity", model, "emulated", ...stats];
    const usage = failed(2, "--episodes and --margins are for --closed-loop: give it too");
    expect(await run([...words, "--episodes", "5"])).toEqual(usage);
  });
});
