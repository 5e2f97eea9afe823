import { expect, test } from "bun:test";
import { present } from "../base/assert.ts";
import { bareMarkup, chromium, openInBrowser, rootOf, textOf } from "./browser_fixture.ts";
import { type DemoReport, renderDemoPage } from "./demo_page.ts";

const HOSTILE = `</script></title><img src=x onerror="document.title='owned'"><!--<script>'`;
const PLOTS = 7;

const timeS = Array.from({ length: 200 }, (_, i) => i / 50);
const wave = (scale: number, offset: number) => timeS.map((t) => offset + scale * Math.sin(12 * t));

const REPORT: DemoReport = {
  version: "0.1.0",
  startedAt: "2026-11-22T10:33:05.120Z",
  machine: "x64, 2 cores, Linux 6.1, Bun 1.4.5",
  ok: true,
  stages: [
    { name: "Export", seconds: 0.64, ok: true, ranOn: "CPU, no NPU", detail: "policy.onnx" },
    { name: "Walk", seconds: 10.04, ok: true, ranOn: "CPU, MuJoCo", detail: "200 periods" },
  ],
  walk: {
    walkedM: 5.7412,
    falls: 0,
    command: [0.6, 0, 0],
    overruns: 0,
    rateHz: 50,
    durationS: 10,
    trajectorySha256: "9f2c",
  },
  stand: { driftM: 0.0042, feetDown: 4, durationS: 5 },
  trace: {
    timeS,
    heightM: wave(0.004, 0.32),
    velocity: wave(0.05, 0.58).map((vx) => [vx, 0.01]),
    yawRate: wave(0.1, 0),
    footContact: wave(1, 0).map((phase) => [phase > 0, phase <= 0, phase <= 0, phase > 0]),
    rollDeg: wave(1, 0),
    pitchDeg: wave(2, 1),
  },
  latencyUs: { samples: timeS.map((t) => 17 + t * t), p50: 19, p99: 32, max: 33 },
  parity: {
    pass: true,
    mae: 2.1e-4,
    max: 3.2e-3,
    samples: 500,
    gate: 1e-3,
    evidence: { a: "cpu", b: "emulation" },
    perOutput: [{ name: "FL_HipX", mae: 2.1e-4, max: 3.2e-3 }],
    errors: timeS.map((t) => 1e-5 * Math.exp(t)),
  },
  notes: ["The robot is a model."],
};

const EMPTY: DemoReport = {
  ...REPORT,
  stages: [],
  trace: {
    timeS: [],
    heightM: [],
    velocity: [],
    yawRate: [],
    footContact: [],
    rollDeg: [],
    pitchDeg: [],
  },
  latencyUs: { samples: [], p50: Number.NaN, p99: Number.NaN, max: Number.NaN },
  parity: { ...REPORT.parity, perOutput: [], errors: [] },
};

/** The page with every string that others write replaced by an attack. */
const ATTACKED: DemoReport = {
  ...REPORT,
  version: HOSTILE,
  startedAt: HOSTILE,
  machine: HOSTILE,
  stages: [{ name: HOSTILE, seconds: 1, ok: false, ranOn: HOSTILE, detail: HOSTILE }],
  walk: { ...REPORT.walk, trajectorySha256: HOSTILE },
  parity: {
    ...REPORT.parity,
    evidence: { a: HOSTILE, b: HOSTILE },
    perOutput: [{ name: HOSTILE, mae: 1, max: 1 }],
  },
  notes: [HOSTILE],
};

function embedded(page: string): unknown {
  const json = /<script type="application\/json" id="report">(.*?)<\/script>/s.exec(page)?.[1];
  return JSON.parse(present(json, "embedded report"));
}

function evidenceText(b: string): string {
  const parity = { ...REPORT.parity, evidence: { a: "cpu", b } };
  return textOf(renderDemoPage({ ...REPORT, parity }));
}

function elementsOf(report: DemoReport): readonly string[] {
  return bareMarkup(renderDemoPage(report)).match(/<[!/]?[a-z-]+/gi) ?? [];
}

test("renderDemoPage() states the verdict, and that no NPU was used", () => {
  const text = textOf(renderDemoPage(REPORT));
  expect(text).toContain("Walked 5.74 m in 10 s, 0 falls, parity 2.1e-4 (gate 1e-3)");
  expect(text).toContain("✓ Passed");
  expect(text).toContain("No NPU was used.");
});

test("renderDemoPage() names an NPU only where one is stated", () => {
  expect(evidenceText("npu")).toContain("An NPU was used for: parity (cpu and npu).");
  expect(evidenceText("unstated")).toContain("Nothing here is stated to have run on an NPU.");
});

test("renderDemoPage() names the stages that failed", () => {
  const stages = REPORT.stages.map((stage) => ({ ...stage, ok: stage.name !== "Walk" }));
  const text = textOf(renderDemoPage({ ...REPORT, ok: false, stages }));
  expect(text).toContain("✕ Failed");
  expect(text).toContain("Failed: Walk");
});

test("renderDemoPage() embeds the report whole", () => {
  expect(embedded(renderDemoPage(REPORT))).toEqual(REPORT);
  expect(embedded(renderDemoPage(ATTACKED))).toEqual(ATTACKED);
});

test("renderDemoPage() gives the same bytes for the same report", () => {
  expect(renderDemoPage(structuredClone(REPORT))).toBe(renderDemoPage(REPORT));
});

test("renderDemoPage() has the same elements when every string is an attack", () => {
  const stages = ATTACKED.stages.map((stage) => ({ ...stage, name: "x", ranOn: "", detail: "" }));
  expect(elementsOf(ATTACKED)).toEqual(elementsOf({ ...REPORT, stages }));
});

test("renderDemoPage() refers to nothing outside of itself", () => {
  const page = renderDemoPage(REPORT);
  expect(page).toContain("default-src 'none'");
  expect(page.match(/\s(?:src|href|action|poster|data|srcset)="[^"]*"/g)).toEqual([
    ' href="data:,"',
  ]);
  expect(page).not.toMatch(/@import|url\(|import\(|fetch\(|XMLHttpRequest|WebSocket/);
  expect(bareMarkup(page)).not.toMatch(/https?:\/\//);
});

test("renderDemoPage() says no data instead of drawing nothing", () => {
  const page = renderDemoPage(EMPTY);
  expect(textOf(page)).not.toMatch(/NaN|undefined|null|Infinity/);
  expect(page.match(/>no data</g)?.length).toBe(PLOTS + 2);
  expect(page).toContain('id="figures">[]</script>');
});

test("renderDemoPage() says when there is no error to plot because all are 0", () => {
  const errors = [0, 0, 0];
  const text = textOf(renderDemoPage({ ...REPORT, parity: { ...REPORT.parity, errors } }));
  expect(text).toContain("every error is exactly 0");
  expect(text).toContain("3 errors, logarithmic axis, 3 exactly 0, not shown.");
});

test.skipIf(!chromium)(
  "the page draws all plots in a browser",
  async () => {
    expect(rootOf(await openInBrowser(renderDemoPage(REPORT)))).toBe(
      `<html lang="en" data-plots="${PLOTS}">`,
    );
    expect(rootOf(await openInBrowser(renderDemoPage(EMPTY)))).toBe(
      '<html lang="en" data-plots="0">',
    );
  },
  60_000,
);

test.skipIf(!chromium)(
  "the page runs nothing of an attack, and draws on",
  async () => {
    const dom = await openInBrowser(renderDemoPage(ATTACKED));
    expect(rootOf(dom)).toBe(`<html lang="en" data-plots="${PLOTS}">`);
    expect(dom).toContain("<title>lite3rl demo: passed</title>");
  },
  60_000,
);

/** Runs `script` in the page, which its own security policy would forbid. */
function withScript(page: string, script: string): string {
  return page
    .replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "")
    .replace("</body>", () => `<script>${script}</script></body>`);
}

test.skipIf(!chromium)(
  "the page shows values under the cursor in all plots over time, after a redraw",
  async () => {
    const hover = `addEventListener("load", () => {
      redrawAll();
      const over = document.querySelector("#velocity .u-over");
      const { left, top, width } = over.getBoundingClientRect();
      const at = { clientX: left + width / 2, clientY: top + 20, bubbles: true };
      for (const type of ["mouseenter", "mousemove"]) over.dispatchEvent(new MouseEvent(type, at));
    });`;
    const dom = await openInBrowser(withScript(renderDemoPage(REPORT), hover));
    expect(rootOf(dom)).toBe(`<html lang="en" data-plots="${PLOTS}">`);
    const times = [...dom.matchAll(/<td class="u-value">(\d\.\d\d s)<\/td>/g)].map(([, t]) => t);
    expect(times.length).toBe(5);
    expect(new Set(times).size).toBe(1);
  },
  60_000,
);

test.skipIf(!chromium)(
  "the page shows the text of a script error",
  async () => {
    const failing = `throw new Error("no canvas here");`;
    const dom = await openInBrowser(withScript(renderDemoPage(REPORT), failing));
    expect(rootOf(dom)).toContain('data-error="Uncaught Error: no canvas here"');
    expect(dom).toMatch(/<p id="script-error" role="alert">[^<]*no canvas here<\/p>/);
  },
  60_000,
);
