import { access, type Case, files, testRows } from "./diagnosis_fixture.ts";

const DRIVER = "Rockchip's driver rknpu, bound to the NPU";
const UNBOUND = { "/sys/bus/platform/drivers/RKNPU/fdab0000.npu": null };
const UNLOADED = { "/sys/module/rknpu/version": null };

const ROWS: readonly Case[] = [
  [
    "the driver is installed and not loaded",
    "driver",
    ["no_driver", files({ "/lib/modules/6.6.30-generic/modules.dep": "extra/rknpu.ko:\n" })],
    {
      state: "fails",
      found: "rknpu is installed, not loaded",
      needed: DRIVER,
      mend: "sudo modprobe rknpu",
    },
  ],
  [
    "the device tree disables the NPU",
    "driver",
    [
      "healthy",
      {
        files: { "/proc/device-tree/npu@fdab0000/status": "disabled\0" },
        access: UNBOUND,
      },
    ],
    {
      state: "fails",
      found: "the NPU is disabled in the device tree",
      needed: DRIVER,
      mend: "enable the board's NPU overlay and start again",
    },
  ],
  [
    "the driver found no NPU",
    "driver",
    ["healthy", access(UNBOUND)],
    {
      state: "fails",
      found: "rknpu is there, but no device fdab0000.npu is bound to it",
      needed: DRIVER,
      mend: "sudo dmesg | grep -i rknpu",
    },
  ],
  [
    "the mainline driver has the NPU",
    "driver",
    [
      "healthy",
      access({
        ...UNBOUND,
        "/sys/bus/platform/drivers/rocket/fdab0000.npu": "directory 0755 root root",
      }),
    ],
    {
      state: "fails",
      found: "the mainline driver rocket has the NPU, which librknnrt cannot use",
      needed: DRIVER,
      mend: "boot the vendor's kernel",
    },
  ],
  [
    "what is looked at is a file system alone",
    "driver",
    ["library_missing", access({ ...UNBOUND, "/sys/bus/platform/drivers/rockchip-pinctrl": null })],
    { state: "not checked", found: "there is no /sys of a running kernel" },
  ],
  [
    "only debugfs has the version, and may be read",
    "driver version",
    [
      "healthy",
      files({ ...UNLOADED, "/sys/kernel/debug/rknpu/version": "RKNPU driver: v0.8.8\n" }),
    ],
    { state: "ok", found: "0.8.8" },
  ],
  [
    "only debugfs has the version, and may not be read",
    "driver version",
    ["healthy", files(UNLOADED)],
    {
      state: "not checked",
      found: "only root may read /sys/kernel/debug/rknpu/version",
      mend: "sudo lite3rl doctor",
    },
  ],
];

testRows("checkDriver()", ROWS);
