import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { deviceNodes, findDeviceFault, readSoc } from "./rknn_device.ts";

const directory = temporaryDirectory();
let trees = 0;

/** A machine's files. */
function machine(files: Readonly<Record<string, string>>): string {
  const root = join(directory, String(trees++));
  mkdirSync(root);
  for (const [path, content] of Object.entries(files)) {
    const place = join(root, path);
    mkdirSync(dirname(place), { recursive: true });
    writeFileSync(place, content);
  }
  return root;
}

const card = (number: number, driver: string) => ({
  [`dev/dri/card${number}`]: "",
  [`sys/class/drm/card${number}/device/uevent`]: driver && `DRIVER=${driver}\n`,
});

describe("readSoc()", () => {
  const soc = (compatible: string) =>
    readSoc(machine({ "proc/device-tree/compatible": compatible }));

  test("reads the device tree, variants included", () => {
    expect([
      soc("orangepi,orangepi-5-plus\0rockchip,rk3588\0"),
      soc("rockchip,rk3588s-orangepi-5\0rockchip,rk3588s\0"),
      soc("rockchip,rk3576-evb\0rockchip,rk3576\0"),
      soc("rockchip,rk3566\0"),
    ]).toEqual([
      { name: "rk3588", cores: 3 },
      { name: "rk3588", cores: 3 },
      { name: "rk3576", cores: 2 },
      { name: "rk3566", cores: 1 },
    ]);
  });

  test("assumes the robot's where there is no device tree", () => {
    expect(readSoc(machine({}))).toEqual({ name: "rk3588", cores: 3 });
  });
});

describe("deviceNodes()", () => {
  test("gives them in the order in which the library looks", () => {
    const root = machine({
      "dev/rknpu": "",
      ...card(0, "rockchip-drm"),
      ...card(10, "RKNPU"),
      ...card(2, "RKNPU"),
      ...card(16, "RKNPU"),
      "dev/dri/renderD128": "",
    });
    expect(deviceNodes(root)).toEqual(["/dev/rknpu", "/dev/dri/card2", "/dev/dri/card10"]);
  });

  test("takes a card that names no driver where the NPU has one", () => {
    const bound = { "sys/bus/platform/drivers/RKNPU/fdab0000.npu": "" };
    expect([
      deviceNodes(machine({ ...card(1, ""), ...bound })),
      deviceNodes(machine(card(1, ""))),
    ]).toEqual([["/dev/dri/card1"], []]);
  });
});

describe("findDeviceFault()", () => {
  test("tells a missing driver from a missing permission", () => {
    const withDriver = machine(card(1, "RKNPU"));
    expect([
      findDeviceFault(machine(card(0, "vc4"))),
      findDeviceFault(withDriver, () => false),
      findDeviceFault(withDriver, () => true),
    ]).toEqual([
      {
        because:
          "no NPU driver is loaded, neither /dev/rknpu nor a DRM card of rknpu is on this machine",
        cure: "run on the board, with its rknpu driver loaded: lite3rl doctor",
      },
      {
        because: "this user may not open /dev/dri/card1",
        cure: "add the user to the group of /dev/dri/card1: lite3rl doctor --fix prints how",
      },
      undefined,
    ]);
  });
});
