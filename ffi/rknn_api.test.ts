import { describe, expect, test } from "bun:test";
import layouts from "../fixtures/rknn/layouts.json" with { type: "json" };
import { asAarch64, AARCH64_ENV } from "../scripts/dev/emulate.ts";
import { buildStub } from "../scripts/dev/build_double.ts";
import { run } from "../scripts/dev/project.ts";
import { describeWith, findTool, testWith } from "../scripts/dev/test_tools.ts";
import { nativeCompiler, zigCompiler } from "../src/runtime/rknn_double_fixture.ts";
import { STRUCTS } from "./rknn_api.ts";

/** Sizes and offsets of `rknn_api.ts`, as the fixture and the probe have them. */
const ours = Object.fromEntries(
  STRUCTS.map(({ name, bytes, fields }) => [
    name,
    {
      bytes,
      offsets: Object.fromEntries(
        Object.entries(fields).map(([key, field]) => [key, field.offset]),
      ),
    },
  ]),
);

describe("the structs of librknnrt", () => {
  test("lie as the vendor's headers place them", () => {
    expect(ours).toEqual(layouts.structs);
  });

  testWith("cc")("lie as this machine's C compiler places them", () => {
    const ran = run([buildStub("layout_probe", nativeCompiler())]);
    expect(JSON.parse(ran.stdout)).toEqual(ours);
  });

  describeWith("zig", "qemu")("for aarch64", () => {
    test("lie as a C compiler places them", () => {
      const probe = buildStub("layout_probe", zigCompiler());
      const ran = run(asAarch64(findTool("qemu") ?? "", [probe]), { env: AARCH64_ENV });
      expect(JSON.parse(ran.stdout)).toEqual(ours);
    }, 60_000);
  });
});
