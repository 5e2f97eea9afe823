/**
 * A comparison for tests of its reports: a policy of two joints and its emulation.
 */

import type { ParityComparison } from "./parity_document.ts";

export const HOSTILE = `</script></title><img src=x onerror="document.title='owned'"><!--<script>'`;

const quantiles = { p50: 1e-4, p90: 5e-4, p99: 2e-3, p999: 3e-3 };
const statistics = { mae: 2e-4, rmse: 5e-4, max: 3e-3, quantiles, cosine: 0.9999999, sqnrDb: 68 };
const worst = { sample: 7, output: "FL_Knee", error: 3e-3 };

export const COMPARISON: ParityComparison = {
  pass: true,
  checks: [{ name: "MAE", pass: true, failures: [], found: 2e-4, limit: 1e-3 }],
  gate: { mae: 1e-3 },
  ...statistics,
  perOutput: [
    { name: "FL_HipY", ...statistics, radians: { mae: 5e-5, max: 7.5e-4 } },
    { name: "FL_Knee", ...statistics, radians: { mae: 5e-5, max: 7.5e-4 } },
  ],
  worst,
  worstSamples: [
    { ...worst, observation: [0.5, -0.25, 1], a: [0.1, 0.2], b: [0.1, 0.203] },
    { sample: 3, output: "FL_HipY", error: 1e-3, observation: [0, 0, 0], a: [1, 0], b: [1.001, 0] },
  ],
  samples: 200,
  dataset: "calib_obs.npy",
  space: "raw",
  requiredTolerance: { mae: 2e-4, max: 3e-3 },
  sides: { a: "policy.onnx", b: "emulated" },
  evidence: { a: "cpu", b: "emulation" },
};
