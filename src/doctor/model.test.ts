import { type Case, testRows } from "./diagnosis_fixture.ts";
import { OWN_LIBRARY, VENDOR_LIBRARY } from "./library_script.ts";

const LIBRARY = { functions: "all" } as const;

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
      mend:
        "convert with a toolkit that matches librknnrt 2.3.2: " +
        "lite3rl toolkit install --toolkit 2.3.2, lite3rl convert --toolkit 2.3.2; " +
        `or get librknnrt 2.5.0 from ${VENDOR_LIBRARY.place} once it is there, then ${OWN_LIBRARY}`,
    },
  ],
  [
    "the vendor's published library would do",
    "model and library",
    ["healthy", { libraries: { "/usr/lib/librknnrt.so": { ...LIBRARY, version: "2.2.0" } } }],
    {
      state: "warning",
      found: "container 6 of toolkit 2.3.2 on librknnrt 2.2.0, which is older and may refuse it",
      needed: "librknnrt 2.3.2 or later",
      mend: "install librknnrt 2.3.2: lite3rl doctor --fix",
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
