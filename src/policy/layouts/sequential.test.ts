import { expect, test } from "bun:test";
import { linesDuring } from "../../base/log_fixture.ts";
import { renamed, TINY_STATE } from "../checkpoint_fixture.ts";
import type { Layer } from "../network.ts";
import { linear, TINY_NETWORK } from "../policy_fixture.ts";
import { readState } from "./layout_fixture.ts";

test("readSequential() takes a Dropout and an activation where two have no weights", async () => {
  const found: (readonly Layer[])[] = [];
  const state = renamed(TINY_STATE, (name) => name.replace("actor.2", "actor.3"));
  const lines = await linesDuring(async () => found.push(await readState(state)));
  expect({ layers: found[0], lines }).toEqual({
    layers: [
      ...TINY_NETWORK.layers.slice(0, 1),
      { kind: "activation", activation: "elu" },
      linear("actor.3", [[2, 1, -0.25]], [0.125]),
    ],
    lines: [
      "warning: two modules without weights stand before actor.3: taking one as a Dropout, which " +
        "does nothing here, the other as elu",
    ],
  });
});
