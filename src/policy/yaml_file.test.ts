import { expect, test } from "bun:test";
import * as v from "valibot";
import { refusalOf } from "../base/refusal_fixture.ts";
import { checkYaml } from "./yaml_file.ts";

test("checkYaml() names the keys that there are beside one that is unknown", async () => {
  const schema = v.strictObject({
    falls: v.optional(v.number()),
    gait: v.optional(v.strictObject({ slip: v.number(), roll: v.optional(v.number()) })),
  });
  const refuse = async (value: unknown) =>
    (await refusalOf(() => checkYaml("limits.yaml", schema, value))).message;
  expect([await refuse({ fals: 1 }), await refuse({ gait: { slip: 1, rol: 2 } })]).toEqual([
    'Cannot use config "limits.yaml": unknown key "fals", need one of falls, gait',
    'Cannot use config "limits.yaml": unknown key "gait.rol", need one of slip, roll',
  ]);
});
