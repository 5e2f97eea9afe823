import { expect, test } from "bun:test";
import { join } from "node:path";
import { present } from "../../base/assert.ts";
import { temporaryDirectory } from "../../base/directory_fixture.ts";
import { ROOT } from "../../../scripts/dev/project.ts";
import { COUNTERS, recordUs, WORD } from "../../service/page.ts";
import { findTool, testWith } from "../../../scripts/dev/test_tools.ts";
import { COUNTER_HELP, renderMetrics } from "./metrics.ts";
import { filledView } from "./view_fixture.ts";

const directory = temporaryDirectory();

const HOSTILE = 'a"b\\c\nlite3rl_ready 1\n{}é';

/** Samples by name and labels; comments and empty lines left out. */
async function samplesOf(view: Parameters<typeof renderMetrics>[0]): Promise<Map<string, number>> {
  const lines = (await renderMetrics(view)).split("\n").filter((line) => /^[^#]/.test(line));
  const cut = (line: string): number => line.lastIndexOf(" ");
  return new Map(lines.map((line) => [line.slice(0, cut(line)), Number(line.slice(cut(line)))]));
}

const startingWith = (samples: Map<string, number>, start: string): Record<string, number> =>
  Object.fromEntries([...samples].filter(([name]) => name.startsWith(start)));

test("renderMetrics() counts what the engines counted", async () => {
  using view = filledView();
  COUNTERS.forEach((name, i) => view.count(name, i + 1));
  const samples = await samplesOf(view);
  for (const [i, name] of COUNTERS.entries()) {
    expect(samples.get(`lite3rl_${COUNTER_HELP[name][0]}_total`)).toBe(i + 1);
  }
});

test("renderMetrics() gives durations in seconds, three buckets a decade", async () => {
  using view = filledView();
  for (const us of [0.5, 9, 10, 11, 2e7]) recordUs(view.page.histograms.service, us);
  const samples = startingWith(await samplesOf(view), "lite3rl_service_seconds");
  const bucket = (le: string): number | undefined =>
    samples[`lite3rl_service_seconds_bucket{le="${le}"}`];
  expect(Object.keys(samples).length).toBe(22 + 1 + 2);
  expect(["0.000001", "0.00000464", "0.00001", "0.0000215", "10", "+Inf"].map(bucket)).toEqual([
    1, 1, 3, 4, 4, 5,
  ]);
  expect(samples["lite3rl_service_seconds_count"]).toBe(5);
  expect(samples["lite3rl_service_seconds_sum"]).toBeCloseTo(20.0000305, 9);
});

test("renderMetrics() says what runs, who died and what drifts", async () => {
  using view = filledView();
  view.page.outside[4] = 17;
  view.change({ deaths: { crash: 3, hang: 2, nonFinite: 1, failed: 4 }, restarts: 6 });
  const samples = await samplesOf(view);
  const { model } = view.snapshot();
  const info =
    `lite3rl_model_info{file="store/v7/policy.onnx",sha256="${model?.sha256}",backend="mlp",` +
    'evidence="cpu",version=""}';
  const found: Record<string, number | undefined> = {
    ...startingWith(samples, "lite3rl_model"),
    ...startingWith(samples, "lite3rl_engine"),
    ...startingWith(samples, "lite3rl_resident"),
    ready: samples.get("lite3rl_ready"),
    drift: samples.get('lite3rl_observation_outside_total{term="projected_gravity[1]"}'),
  };
  expect(found).toEqual({
    [info]: 1,
    lite3rl_model_generation: 3,
    lite3rl_model_swaps_total: 2,
    lite3rl_engine_restarts_total: 6,
    'lite3rl_engine_deaths_total{cause="crash"}': 3,
    'lite3rl_engine_deaths_total{cause="hang"}': 2,
    'lite3rl_engine_deaths_total{cause="non_finite"}': 1,
    'lite3rl_engine_deaths_total{cause="failed"}': 4,
    'lite3rl_resident_memory_bytes{process="supervisor"}': 55 << 20,
    'lite3rl_resident_memory_bytes{process="engine"}': 60 << 20,
    ready: 1,
    drift: 17,
  });
});

test("renderMetrics() keeps hostile names within their labels", async () => {
  using view = filledView();
  const model = { ...present(view.snapshot().model), file: HOSTILE };
  view.page.outside[0] = 1;
  view.change({ ready: false, model, observationNames: [HOSTILE] });
  const samples = await samplesOf(view);
  expect(samples.get("lite3rl_ready")).toBe(0);
  expect([...samples.values()].filter(Number.isNaN)).toEqual([]);
});

test("renderMetrics() goes on without an engine and a model", async () => {
  using view = filledView();
  view.change({ ready: false, model: undefined, engine: undefined });
  const samples = await samplesOf(view);
  expect(samples.get("lite3rl_ready")).toBe(0);
  expect(startingWith(samples, "lite3rl_model_")).toEqual({ lite3rl_model_swaps_total: 2 });
  expect(samples.get("lite3rl_service_seconds_count")).toBe(0);
});

async function promtool(stdin: string, ...args: readonly string[]): Promise<string> {
  const process = Bun.spawn([present(findTool("promtool")), "check", ...args], {
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([process.stdout.text(), process.stderr.text()]);
  return `${await process.exited}: ${out}${err}`;
}

testWith("promtool")("promtool takes the configuration that the README gives", async () => {
  const readme = await Bun.file(join(ROOT, "README.md")).text();
  const config = present(/```yaml\n(# prometheus\.yml\n[^]*?)```/.exec(readme)?.[1]);
  const path = join(directory, "prometheus.yml");
  await Bun.write(path, config);
  expect(await promtool("", "config", path)).toMatch(/^0: .*SUCCESS/s);
});

testWith("promtool")("promtool has nothing to say about the metrics", async () => {
  using view = filledView();
  view.page.words[WORD.hasNpuTimes] = 1;
  view.page.outside[4] = 17;
  view.answer(1000);
  recordUs(view.page.histograms.run, 400);
  const model = { ...present(view.snapshot().model), file: HOSTILE, version: "v7" };
  view.change({ model });
  const text = await renderMetrics(view);
  expect(text).toContain('lite3rl_npu_seconds_bucket{step="run",le="0.000464"} 1');
  expect(await promtool(text, "metrics")).toBe("0: ");
  const broken = text.replace("_seconds_count", "_second_count");
  expect(await promtool(broken, "metrics")).not.toStartWith("0: ");
});
