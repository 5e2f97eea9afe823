import { expect, test } from "bun:test";
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { watchBoard } from "./board.ts";

const directory = temporaryDirectory();
const root = join(directory, "tree");
const CPU = "/sys/devices/system/cpu/cpufreq/policy0/scaling_governor";
const NPU = "/sys/class/devfreq/fdab0000.npu/governor";
const OUTSIDE = "/sys/class/devfreq/dmc/governor";
const ZONE = "/sys/class/thermal/thermal_zone0";

function put(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}
const read = (path: string): string => readFileSync(join(root, path), "utf8").trim();

test("watchBoard() tries governors, reads them back, and puts them back", async () => {
  put(CPU, "schedutil\n");
  put(NPU, "rknpu_ondemand\n");
  put(`${ZONE}/type`, "soc-thermal\n");
  put(`${ZONE}/temp`, "41000\n");
  const other = join(directory, "other");
  writeFileSync(other, "dmc_ondemand\n");
  mkdirSync(dirname(join(root, OUTSIDE)), { recursive: true });
  symlinkSync(other, join(root, OUTSIDE));
  {
    using board = await watchBoard({ root, model: "policy.onnx", governor: "performance" });
    expect([read(CPU), read(NPU)]).toEqual(["performance", "performance"]);
    put(`${ZONE}/temp`, "55000\n");
    const found = await board.finish();
    expect(found).toMatchObject({
      state: "measured",
      governors: [
        { place: CPU, before: "schedutil", tried: "performance", readBack: "performance" },
        { place: OUTSIDE, before: "", tried: "performance", readBack: "refused: out of the tree" },
        { place: NPU, before: "rknpu_ondemand", tried: "performance", readBack: "performance" },
      ],
    });
    if (found.state !== "measured") throw new Error("the board was measured");
    const heat = [found.rows, found.after].map((rows) => {
      return rows.find(({ check }) => check === "temperature")?.found;
    });
    expect(heat).toEqual(["soc-thermal 41 °C", "soc-thermal 55 °C"]);
  }
  expect([read(CPU), read(NPU), readFileSync(other, "utf8")]).toEqual([
    "schedutil",
    "rknpu_ondemand",
    "dmc_ondemand\n",
  ]);
});

test("watchBoard() leaves governors alone that nobody asked to change", async () => {
  put(CPU, "powersave\n");
  using board = await watchBoard({ root, model: "policy.onnx" });
  expect([read(CPU), await board.finish()]).toMatchObject(["powersave", { governors: [] }]);
});
