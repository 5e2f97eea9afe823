import { expect, test } from "bun:test";
import { linesDuring } from "../../base/log_fixture.ts";
import type { Layer } from "../network.ts";
import { readState } from "./layout_fixture.ts";

test("readPlan() says what --distribution leaves of the last layer", async () => {
  const state = { "actor.0.weight": { shape: [4, 1] }, "actor.0.bias": { shape: [4] } };
  const found: (readonly Layer[])[] = [];
  const lines = await linesDuring(async () => {
    for (const distribution of ["gaussian", "beta"] as const) {
      found.push(await readState(state, undefined, { distribution }));
    }
  });
  expect({ endings: found.map((layers) => layers.at(-1)), lines }).toEqual({
    endings: [
      { kind: "distribution", distribution: "gaussian", size: 2 },
      { kind: "distribution", distribution: "beta", size: 2 },
    ],
    lines: [
      "--distribution gaussian: 2 actions from the 4 values of the last layer, the other half is noise",
      "--distribution beta: 2 actions from the 4 values of the last layer, two for each",
    ],
  });
});
