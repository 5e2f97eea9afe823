import { expect, test } from "bun:test";
import { annotationLine } from "./annotations.ts";
import { run } from "./program_fixture.ts";

test("annotationLine() escapes what would end a title or a line", () => {
  expect(annotationLine({ title: "a: b, 5 %", message: "one\r\ntwo: 5 %" })).toBe(
    "::error title=a%3A b%2C 5 %25::one%0D%0Atwo: 5 %25",
  );
});

test("an error is annotated in GitHub Actions, and stdout has none of it", async () => {
  const env = { GITHUB_ACTIONS: "true" };
  const message = 'Cannot read "none.onnx": there is no such file, need a file';
  const { status, stdout, stderr } = await run(["parity", "none.onnx", "emulated"], { env });
  expect({ status, stdout, stderr }).toEqual({
    status: 3,
    stdout: "",
    stderr: `error: ${message}\n::error title=lite3rl parity::${message}\n`,
  });
});
