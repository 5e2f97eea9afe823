import { expect, test } from "bun:test";
import { bareMarkup, chromium, openInBrowser, rootOf, textOf } from "./browser_fixture.ts";
import { type ParityPage, renderParityPage } from "./parity_page.ts";
import { COMPARISON, HOSTILE } from "./parity_report_fixture.ts";

const errors = Array.from({ length: 400 }, (_, i) => 1e-5 * Math.exp(i / 70));
const points = [0, 1].map(() =>
  errors.slice(0, 200).map((error, i): [number, number] => [Math.sin(i), error * Math.cos(i)]),
);
const PAIR = {
  document: COMPARISON,
  values: { errors, points },
  restsOn: { a: "computed on the CPU in float32", b: "emulated, not an NPU" },
  terms: [
    { name: "gyro", size: 2 },
    { name: "command", size: 1 },
  ],
};
const PAGE: ParityPage = {
  version: "0.1.0",
  startedAt: "2026-11-22T10:33:05.120Z",
  comparisons: [PAIR],
};
const PLOTS = 3;

const failing = {
  ...COMPARISON,
  pass: false,
  checks: [{ name: "MAE", pass: false, failures: ["MAE is 0.2, above 0.001"], found: 0.2 }],
};

test("renderParityPage() says the verdict, the evidence, the errors and what would pass", () => {
  const text = textOf(renderParityPage(PAGE));
  for (const part of [
    "✓ Passed lite3rl 0.1.0 parity 2026-11-22 10:33 UTC",
    "MAE 2e-4 (gate 1e-3), largest 3e-3, on 200 observations",
    "No figure here is an NPU&#39;s. a policy.onnx : computed on the CPU in float32",
    "Observations: calib_obs.npy, before any normalizer.",
    "Would pass with --mae 0.0002 --max 0.003 or more",
    "Sample 7: FL_Knee is 3e-3 apart Output a b b − a FL_HipY 0.10000 0.10000 0",
    "gyro 0.5 -0.25 command 1",
  ]) {
    expect(text).toContain(part);
  }
});

test("renderParityPage() names what failed of several comparisons", () => {
  const comparisons = [PAIR, { ...PAIR, document: failing }];
  const text = textOf(renderParityPage({ ...PAGE, comparisons }));
  expect(text).toContain("✕ Failed");
  expect(text).toContain(
    "1 of 2 comparisons passed policy.onnx and emulated: MAE is 0.2, above 0.001",
  );
});

test("renderParityPage() says that an NPU measured only where that is stated", () => {
  const sentence = (b: "npu" | "unstated") => {
    const evidence = { ...COMPARISON.evidence, b };
    const comparisons = [{ ...PAIR, document: { ...COMPARISON, evidence } }];
    return /<strong>([^<]*NPU[^<]*)</.exec(renderParityPage({ ...PAGE, comparisons }))?.[1];
  };
  expect([sentence("npu"), sentence("unstated")]).toEqual([
    "Measured on an NPU.",
    "No figure here is stated to be an NPU&#39;s.",
  ]);
});

test("renderParityPage() shows the layers with the first that is too far off", () => {
  const layer = { op: "Gemm+Elu", mae: 2e-4, max: 1e-2, sqnrDb: 60 };
  const layers = [
    { ...layer, name: "h0" },
    { ...layer, name: "h1", mae: 2e-3 },
  ];
  const bisection = { samples: 200, limit: 1e-3, first: "h1", layers };
  const comparisons = [{ ...PAIR, document: { ...COMPARISON, bisection } }];
  const text = textOf(renderParityPage({ ...PAGE, comparisons }));
  expect(text).toContain("The MAE is above 1e-3 from h1 on.");
  expect(text).toContain("h1 Gemm+Elu 2e-3 0.01 60 dB");
});

test("renderParityPage() gives the same bytes for the same page", () => {
  expect(renderParityPage(structuredClone(PAGE))).toBe(renderParityPage(PAGE));
});

/** The page with every string that others write replaced by an attack. */
const ATTACKED: ParityPage = {
  ...PAGE,
  comparisons: [
    {
      ...PAIR,
      document: {
        ...COMPARISON,
        checks: [{ name: HOSTILE, pass: true, failures: [] }],
        perOutput: COMPARISON.perOutput.map((one) => ({ ...one, name: HOSTILE })),
        dataset: HOSTILE,
        sides: { a: HOSTILE, b: HOSTILE },
      },
      restsOn: { a: HOSTILE, b: HOSTILE },
    },
  ],
};

test("renderParityPage() has no element of an attack, and nothing from elsewhere", () => {
  const page = renderParityPage(ATTACKED);
  expect(bareMarkup(page)).not.toMatch(/<img|onerror="/);
  expect(page).toContain("default-src 'none'");
  expect(page.match(/\s(?:src|href|action|poster|data|srcset)="[^"]*"/g)).toEqual([
    ' href="data:,"',
  ]);
});

test.skipIf(!chromium)(
  "the page draws its plots in a browser, and none where nothing differs",
  async () => {
    const alike = {
      ...PAIR,
      document: { ...COMPARISON, mae: 0, max: 0 },
      values: { errors: [0, 0], points: [[], []] },
    };
    const root = async (page: ParityPage) => rootOf(await openInBrowser(renderParityPage(page)));
    expect([
      await root(PAGE),
      await root(ATTACKED),
      await root({ ...PAGE, comparisons: [PAIR, PAIR] }),
      await root({ ...PAGE, comparisons: [alike] }),
    ]).toEqual(
      [PLOTS, PLOTS, 2 * PLOTS, 0].map((plots) => `<html lang="en" data-plots="${plots}">`),
    );
  },
  60_000,
);
