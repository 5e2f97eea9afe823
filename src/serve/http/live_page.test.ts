import { expect, test } from "bun:test";
import { present } from "../../base/assert.ts";
import { findTool, testWith } from "../../../scripts/dev/test_tools.ts";
import type { ServiceEvent } from "../view.ts";
import { type BrowserPage, openInBrowser } from "./browser_fixture.ts";
import { renderLivePage } from "./live_page.ts";
import { startHttp } from "./server.ts";
import { type FilledView, filledView } from "./view_fixture.ts";

const LOOPBACK = { kind: "tcp", host: "127.0.0.1", port: 0 } as const;
const HOSTILE = `</script></title><img src=x onerror="document.title='owned'"><!--<script>'`;
const testInBrowser = testWith("chromium");

const open = (address: string): Promise<BrowserPage> =>
  openInBrowser(present(findTool("chromium")), address);

/** Answers as a busy engine would, until disposed. */
function keepAnswering(view: FilledView): Disposable {
  const timer = setInterval(() => view.answer(10), 20);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

const textOf = (page: BrowserPage, id: string): Promise<string> =>
  page.evaluate(`document.getElementById(${JSON.stringify(id)}).textContent`);

/** What each canvas shows. */
const pictures = (page: BrowserPage): Promise<string[]> =>
  page.evaluate("[...document.querySelectorAll('canvas')].map((canvas) => canvas.toDataURL())");

const answered = (count: number): string => `document.documentElement.dataset.answers >= ${count}`;

test("renderLivePage() has a plot for each leg, and a row for each term of the observation", () => {
  using view = filledView();
  const page = renderLivePage(view);
  expect([...page.matchAll(/<h3>(.*?)<\/h3>/g)].map(([, title]) => title)).toEqual([
    "Latency, µs",
    "Requests per second",
    "FL",
    "FR",
    "HL",
    "HR",
  ]);
  expect(page.match(/<li id="term-\d+">/g)?.length).toBe(45);
});

test("renderLivePage() refers to nothing outside of itself, and may ask its server", () => {
  using view = filledView();
  const page = renderLivePage(view);
  expect(page).toContain("connect-src 'self'");
  expect(page.match(/\s(?:src|href|action|poster|srcset)="[^"]*"/g)).toEqual([' href="data:,"']);
  expect(page).not.toMatch(/@import|url\(|import\(|XMLHttpRequest|WebSocket|innerHTML/);
});

testInBrowser("the page shows how the service fares, in plots that move", async () => {
  using view = filledView();
  view.page.outside[4] = 17;
  view.count("deadlineMissed", 3);
  using server = await startHttp(LOOPBACK, view);
  using _answers = keepAnswering(view);
  await using page = await open(server.address);
  await page.until(answered(3));
  expect(await page.evaluate("document.documentElement.dataset.plots")).toBe("6");
  const before = await pictures(page);
  await page.until(answered(6));
  const after = await pictures(page);
  expect(before.length).toBe(6);
  expect(after.map((picture, i) => picture === before[i])).toEqual(Array(6).fill(false));

  expect(await textOf(page, "state")).toBe("✓ Ready");
  expect(await textOf(page, "headline")).toMatch(
    /^policy\.onnx answers \d+(?:\.\d+)? requests\/s$/,
  );
  expect(await textOf(page, "evidence")).toBe("Does not run on the NPU.");
  expect(await textOf(page, "tile-latency")).toMatch(/^4\d(?:\.\d)? µs$/);
  expect(await textOf(page, "count-deadlineMissed")).toBe("3");
  expect(await textOf(page, "term-4")).toMatch(
    /^\s*projected_gravity\[1\]-?\d\.\d{3}\s*17 outside/,
  );
  expect(page.problems).toEqual([]);
  expect([...page.requested].toSorted()).toEqual([server.address, `${server.address}status.json`]);
});

testInBrowser("the page fits its window from a phone's width on, light and dark", async () => {
  using view = filledView();
  using server = await startHttp(LOOPBACK, view);
  using _answers = keepAnswering(view);
  await using page = await open(server.address);
  await page.until(answered(2));
  const seen = new Set<string>();
  for (const width of [400, 900, 1920]) {
    for (const theme of ["light", "dark"] as const) {
      const picture = await page.screenshot(width, theme);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(
        width,
      );
      seen.add(String(Bun.hash(picture)));
    }
  }
  expect(seen.size).toBe(6);
});

testInBrowser("the page says since when the service does not answer, and comes back", async () => {
  using view = filledView();
  const first = await startHttp(LOOPBACK, view);
  await using page = await open(first.address);
  await page.until(answered(2));
  first[Symbol.dispose]();
  await page.until("document.documentElement.dataset.lost >= 2");
  expect(await textOf(page, "state")).toBe("unreachable");
  expect(await textOf(page, "lost")).toMatch(/^No answer from the service since \d+:\d\d:\d\d/);
  const before = await page.evaluate<string>("document.documentElement.dataset.answers");
  using _again = await startHttp({ ...LOOPBACK, port: Number(new URL(first.address).port) }, view);
  await page.until(answered(Number(before) + 1));
  expect(await textOf(page, "state")).toBe("✓ Ready");
  expect(await page.evaluate("document.getElementById('lost').hidden")).toBe(true);
});

testInBrowser(
  "the page keeps its points when an engine dies, and is anew for other terms",
  async () => {
    using view = filledView();
    using server = await startHttp(LOOPBACK, view);
    await using page = await open(server.address);
    await page.until(answered(3));
    view.change({ ready: false, why: "the engine crashed", engine: undefined });
    await page.until("document.getElementById('headline').textContent.startsWith('Not ready')");
    expect(await textOf(page, "headline")).toBe("Not ready: the engine crashed");
    expect(await page.evaluate("points.length >= 4")).toBe(true);
    using wider = filledView();
    view.change({ ready: true, engine: wider.snapshot().engine, actionNames: ["left", "right"] });
    await page.until("document.querySelector('#action-0-legend')?.textContent.includes('left')");
    expect(page.problems).toEqual([]);
  },
);

testInBrowser("the page runs nothing of an attack", async () => {
  using view = filledView();
  const event: ServiceEvent = { at: HOSTILE, level: "error", name: HOSTILE, message: HOSTILE };
  const model = { ...present(view.snapshot().model), file: HOSTILE, backend: HOSTILE };
  const names = { observationNames: [HOSTILE], actionNames: [HOSTILE, HOSTILE] };
  view.change({ ...names, model, events: [event], why: HOSTILE, ready: false });
  using server = await startHttp(LOOPBACK, view);
  await using page = await open(server.address);
  await page.until(answered(2));
  expect(await textOf(page, "headline")).toBe(`Not ready: ${HOSTILE}`);
  expect(await page.evaluate("document.title === 'owned'")).toBe(false);
  expect(await page.evaluate("document.images.length")).toBe(0);
  expect(page.problems).toEqual([]);
});
