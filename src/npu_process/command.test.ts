import { expect, test } from "bun:test";
import { failed, run } from "../cli/program_fixture.ts";

test("npu-process refuses to run by itself", async () => {
  expect(await run(["npu-process"])).toEqual(
    failed(
      2,
      "Cannot run npu-process by itself: it has nobody to answer, use serve, agent or parity",
    ),
  );
});

test("npu-process is on no help page", async () => {
  const { status, stdout } = await run(["--help"]);
  expect([status, stdout.includes("npu-process")]).toEqual([0, false]);
});
