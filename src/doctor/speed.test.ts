import { type Case, files, testRows } from "./diagnosis_fixture.ts";

const ROWS: readonly Case[] = [
  [
    "a sensor measures power",
    "power sensor",
    [
      "healthy",
      files({
        "/sys/class/hwmon/hwmon1/name": "ina226\n",
        "/sys/class/hwmon/hwmon1/power1_input": "5200000\n",
      }),
    ],
    { state: "ok", found: "ina226 power1_input" },
  ],
  [
    "a policy is steady at the top by the user's own hand",
    "NPU clock",
    ["healthy", files({ "/sys/class/devfreq/fdab0000.npu/governor": "userspace\n" })],
    { state: "ok", found: "fdab0000.npu userspace 1000 MHz of 1000" },
  ],
  [
    "a sensor of heat gives no number",
    "temperature",
    ["healthy", files({ "/sys/class/thermal/thermal_zone1/temp": "denied" })],
    { state: "ok", found: "soc-thermal 44 °C, npu-thermal 43 °C" },
  ],
];

testRows("checkSpeed()", ROWS);
