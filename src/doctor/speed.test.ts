import { type Case, files, testRows } from "./diagnosis_fixture.ts";

const POLICY4 = "/sys/devices/system/cpu/cpufreq/policy4";

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
    "a policy is held below its top, whatever its governor",
    "CPU clock",
    ["healthy", files({ [`${POLICY4}/scaling_max_freq`]: "1200000\n" })],
    {
      state: "warning",
      found:
        "policy0 ondemand 1800 MHz of 1800, policy4 ondemand 408 MHz (held to 1200 of 2256), " +
        "policy6 ondemand 408 MHz of 2256",
      needed: "its top speed allowed",
      mend: `echo 2256000 | sudo tee ${POLICY4}/scaling_max_freq`,
    },
  ],
  [
    "a sensor of heat gives no number",
    "temperature",
    ["healthy", files({ "/sys/class/thermal/thermal_zone1/temp": "denied" })],
    { state: "ok", found: "soc-thermal 44 °C, npu-thermal 43 °C" },
  ],
];

testRows("checkSpeed()", ROWS);
