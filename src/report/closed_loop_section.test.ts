import { expect, test } from "bun:test";
import { bareMarkup, chromium, openInBrowser, rootOf, textOf } from "./browser_fixture.ts";
import type { ClosedLoop, ClosedLoopFigure } from "./closed_loop_document.ts";
import { renderJunit } from "./junit.ts";
import { type ParityPage, renderParityPage } from "./parity_page.ts";
import { COMPARISON, HOSTILE } from "./parity_report_fixture.ts";

const FALLS: ClosedLoopFigure = {
  name: "falls",
  unit: "of episodes",
  a: 0,
  b: 0.25,
  worsening: { mean: 0.25, low: 0.125, high: 0.375 },
  margin: 0.05,
  pairs: 4,
  verdict: "worse",
};
const VELOCITY: ClosedLoopFigure = {
  name: "velocity_error_mps",
  unit: "m/s",
  a: 0.18,
  b: 0.175,
  worsening: { mean: -0.005, low: -0.01, high: 0.0125 },
  margin: 0.025,
  pairs: 3,
  verdict: "as well",
};
const COST: ClosedLoopFigure = {
  name: "cost_of_transport",
  unit: "",
  a: null,
  b: null,
  worsening: null,
  margin: 0.2,
  pairs: 0,
  verdict: "not shown",
};

const walk = (velocity: number, ending: string | null = null) => ({
  ending,
  figures: {
    falls: ending === null ? 0 : 1,
    velocity_error_mps: velocity,
    cost_of_transport: null,
  },
});
const CLOSED_LOOP: ClosedLoop = {
  verdict: "does not walk as well",
  environment: "lite3",
  episodes: 4,
  durationS: 8,
  seed: 3,
  method: "paired differences",
  level: 0.95,
  figures: [FALLS, VELOCITY, COST],
  runs: [0.1, 0.2, 0.3, 0.4].map((velocity, i) => ({
    terrain: "flat",
    push: { atS: 2, x: 0.3, y: 0 },
    a: walk(velocity),
    b: walk(velocity * 1.1, i === 2 ? "pitch 46.1°, limit 45°" : null),
  })),
};

/** The page of a comparison with this closed loop. */
function pageOf(closedLoop: ClosedLoop): string {
  const pair = {
    document: { ...COMPARISON, closedLoop },
    values: { errors: [1e-4], points: [[], []] },
    restsOn: { a: "computed on the CPU in float32", b: "emulated, not an NPU" },
  };
  const page: ParityPage = {
    version: "0.1.0",
    startedAt: "2026-11-22T10:33:05.120Z",
    comparisons: [pair],
  };
  return renderParityPage(page);
}

test("a page says the verdict of a closed loop, its figures with intervals, and its falls", () => {
  const text = textOf(pageOf(CLOSED_LOOP));
  for (const part of [
    "on 200 observations; b does not walk as well as a",
    "✕ b does not walk as well as a : 4 pairs of episodes of 8 s in lite3, the same commands",
    "(seed 3). Intervals of 95 %: paired differences.",
    "✕ falls 0 0.25 0.25 0.125 to 0.375 0.05",
    "✓ velocity_error_mps 0.18 0.175 -5e-3 -0.01 to 0.0125 0.025",
    "? cost_of_transport 0.2",
    "1 fall Episode 2, b: pitch 46.1°, limit 45°",
  ]) {
    expect(text).toContain(part);
  }
});

test("the intervals of a page are drawn in margins, and cut at the end of the scale", () => {
  const places = [...pageOf(CLOSED_LOOP).matchAll(/<i class="(\w+)" style="([^"]*)"/g)].map(
    ([, kind, style]) => [kind, style],
  );
  // 7.5 margins of falls are beyond the scale of ±4; a margin is an eighth of its width.
  expect(places).toEqual([
    ["zero", "left: 50%"],
    ["margin", "left: 62.5%"],
    ["range", "left: 81.25%; width: 18.75%"],
    ["dot", "left: 100%"],
    ["zero", "left: 50%"],
    ["margin", "left: 62.5%"],
    ["range", "left: 45%; width: 11.25%"],
    ["dot", "left: 47.5%"],
  ]);
});

test("a page without a closed loop has no word of it", () => {
  const pair = { values: { errors: [1e-4], points: [[], []] }, restsOn: { a: "x", b: "y" } };
  const page = renderParityPage({
    version: "0.1.0",
    startedAt: "",
    comparisons: [{ ...pair, document: COMPARISON }],
  });
  expect(textOf(page)).not.toMatch(/Closed loop|walks as well/);
});

test("the closed loop of a page has no element of an attack", () => {
  const page = pageOf({
    ...CLOSED_LOOP,
    method: HOSTILE,
    environment: HOSTILE,
    figures: [{ ...VELOCITY, name: HOSTILE, unit: HOSTILE }],
    runs: CLOSED_LOOP.runs.map((one) => ({ ...one, b: { ...one.b, ending: HOSTILE } })),
  });
  expect(bareMarkup(page)).not.toMatch(/<img|onerror="/);
});

test("renderJunit() says the verdict of a closed loop", () => {
  const xml = renderJunit([{ ...COMPARISON, closedLoop: CLOSED_LOOP }]);
  expect(xml).toContain(
    '<property name="closed loop" value="b does not walk as well as a, 4 episodes"/>',
  );
});

test.skipIf(!chromium)(
  "a browser draws the pairs of each figure but falls, and none where nothing differs",
  async () => {
    const alike = { ...CLOSED_LOOP, runs: CLOSED_LOOP.runs.map((one) => ({ ...one, b: one.a })) };
    const roots = [CLOSED_LOOP, alike].map(async (one) => rootOf(await openInBrowser(pageOf(one))));
    // The histogram of errors, and the pairs of the one figure that has any.
    expect(await Promise.all(roots)).toEqual([
      '<html lang="en" data-plots="2">',
      '<html lang="en" data-plots="1">',
    ]);
  },
  60_000,
);
