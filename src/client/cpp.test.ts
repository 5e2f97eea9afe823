import { beforeAll, describe, setDefaultTimeout } from "bun:test";
import { describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { testFramedClient, testHostileService } from "./client_suite.ts";
import { compileDriver, type Launch } from "./driver_fixture.ts";
import { testRawClient } from "./raw_client_suite.ts";

setDefaultTimeout(120_000);

describeWith("cxx")("the C++ client", () => {
  const directory = temporaryDirectory();
  let launch: Launch;
  beforeAll(async () => {
    launch = await compileDriver(findTool("cxx") ?? "", directory);
  });
  const place = { directory, launch: () => launch };
  describe("with a framed service", () => testFramedClient(place));
  describe("with a hostile service", () => testHostileService(place));
  describe("with raw bytes", () => testRawClient(place));
});
