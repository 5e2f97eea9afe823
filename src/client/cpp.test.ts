import { beforeAll, describe, setDefaultTimeout } from "bun:test";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { testFramedClient } from "./client_suite.ts";
import { compileDriver, type Launch } from "./driver_fixture.ts";
import { testHostileService } from "./hostile_service_suite.ts";
import { testRawClient } from "./raw_client_suite.ts";
import { createStage } from "./stage_fixture.ts";

setDefaultTimeout(120_000);

describeWith("cxx")("the C++ client", () => {
  const directory = temporaryDirectory();
  let launch: Launch;
  beforeAll(async () => {
    launch = await compileDriver(findTool("cxx") ?? "", directory);
  });
  const stage = createStage({ directory, launch: () => launch });
  describe("with a framed service", () => testFramedClient(stage));
  describe("with a hostile service", () => testHostileService(stage));
  describe("with raw bytes", () => testRawClient(stage));
});
