import { type Case, testRows } from "./diagnosis_fixture.ts";

const ROWS: readonly Case[] = [
  [
    "no model is given",
    "model",
    ["healthy", {}, { isWithoutModel: true }],
    {
      state: "not checked",
      found: "none was given",
      mend: "lite3rl doctor --model policy.rknn",
    },
  ],
  [
    "the library is older than the toolkit of the model",
    "model and library",
    ["healthy", { model: { toolkit: "2.5.0", platform: "rk3588" } }],
    {
      state: "warning",
      found: "container 6 of toolkit 2.5.0 on librknnrt 2.3.2, which is older and may refuse it",
      needed: "librknnrt 2.5.0 or later",
      mend: "install librknnrt 2.5.0, or convert with toolkit 2.3.2",
    },
  ],
  [
    "the library is newer than the toolkit of the model",
    "model and library",
    ["healthy", { model: { toolkit: "1.6.1-source_code", platform: "rk3588" } }],
    { state: "ok", found: "container 6 of toolkit 1.6.1 on librknnrt 2.3.2" },
  ],
];

testRows("checkModel()", ROWS);
