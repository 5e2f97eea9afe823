import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describeWith, findTool, testWith } from "../scripts/dev/test_tools.ts";
import { buildStub } from "../scripts/dev/build_double.ts";
import { run } from "../scripts/dev/project.ts";
import { temporaryDirectory } from "../src/base/directory_fixture.ts";
import { refusalOf } from "../src/base/refusal_fixture.ts";
import { doubleLibrary, nativeCompiler, zigCompiler } from "../src/runtime/rknn_double_fixture.ts";
import { findRknnLibrary, LIBRARY_VARIABLE, NativeError, openRknnLibrary } from "./rknn_library.ts";

const directory = temporaryDirectory();
const [first, second] = ["lib", "lib64"].map((name) => {
  const place = join(directory, name);
  mkdirSync(place);
  return place;
}) as [string, string];
const NAME = "librknnrt.so";

describe("findRknnLibrary()", () => {
  const before = process.env[LIBRARY_VARIABLE];
  beforeEach(() => void delete process.env[LIBRARY_VARIABLE]);
  afterEach(() => {
    if (before === undefined) delete process.env[LIBRARY_VARIABLE];
    else process.env[LIBRARY_VARIABLE] = before;
  });

  test("takes the flag's before the variable's before the first directory's", () => {
    const [flag, variable] = ["flag.so", "variable.so"].map((name) => join(directory, name));
    for (const path of [flag, variable, join(second, NAME)]) writeFileSync(path ?? "", "");
    const find = (named?: string) => findRknnLibrary(named, [first, second]);
    expect(find()).toBe(join(second, NAME));
    writeFileSync(join(first, NAME), "");
    expect(find()).toBe(join(first, NAME));
    process.env[LIBRARY_VARIABLE] = variable;
    expect([find(), find(flag)]).toEqual([variable, flag]);
  });

  test("finds none where there is none, the working directory notwithstanding", () => {
    expect(findRknnLibrary(undefined, [join(directory, "nowhere")])).toBeUndefined();
  });

  test("makes a relative path absolute", () => {
    const path = join(directory, "relative.so");
    writeFileSync(path, "");
    expect(findRknnLibrary(relative(process.cwd(), path))).toBe(path);
  });

  test("refuses a missing file by its whole path, and says who named it", async () => {
    const flag = await refusalOf(() => findRknnLibrary("./nowhere.so"));
    process.env[LIBRARY_VARIABLE] = "/nowhere/librknnrt.so";
    const [variable, passedOn] = await Promise.all(
      [undefined, "/nowhere/librknnrt.so"].map((named) => refusalOf(() => findRknnLibrary(named))),
    );
    const missing = (path: string, origin: string) => ({
      code: "NOT_FOUND" as const,
      message:
        `Cannot load the NPU library "${path}": there is no such file, ` +
        `need librknnrt.so there (${origin})`,
    });
    expect([flag, variable, passedOn]).toEqual([
      missing(join(process.cwd(), "nowhere.so"), "--librknnrt"),
      missing("/nowhere/librknnrt.so", LIBRARY_VARIABLE),
      missing("/nowhere/librknnrt.so", LIBRARY_VARIABLE),
    ]);
  });
});

describe("openRknnLibrary()", () => {
  const refusal = async (path: string): Promise<string> =>
    (await refusalOf(() => openRknnLibrary(path))).message.replaceAll(path, "PATH");
  const NEED = "need librknnrt.so for linux-aarch64 and what it is linked to: lite3rl doctor";

  test("refuses what is no library, and one for another machine", async () => {
    const text = join(directory, "text.so");
    writeFileSync(text, "no library");
    expect(await refusal(text)).toBe(
      `Cannot load the NPU library "PATH": it is no ELF library, ${NEED}`,
    );
  });

  testWith("zig")(
    "refuses a library for another machine",
    async () => {
      if (process.arch !== "x64") return;
      expect(await refusal(buildStub("librknnrt_double.so", zigCompiler()))).toBe(
        `Cannot load the NPU library "PATH": it is for arm64, but this is x64, ${NEED}`,
      );
    },
    60_000,
  );

  testWith("cc")("names the functions that a library lacks", async () => {
    const path = compile("other.so", "int rknn_init(void) { return 0; }");
    const message = await refusal(path);
    expect(message).toStartWith('Cannot load the NPU library "PATH": it lacks rknn_destroy, ');
    expect(message).toEndWith("rknn_set_core_mask, need librknnrt 1.4.0 or newer");
  });

  testWith("cc")("names a library that it is linked to and that is not there", async () => {
    compile("libdeep.so", "int deep(void) { return 0; }");
    const path = compile("shallow.so", "int deep(void); int rknn_init(void) { return deep(); }", [
      `-L${directory}`,
      "-ldeep",
    ]);
    expect(await refusal(path)).toBe(
      'Cannot load the NPU library "PATH": libdeep.so: cannot open shared object file: ' +
        `No such file or directory, ${NEED}`,
    );
  });

  function compile(name: string, source: string, flags: readonly string[] = []): string {
    const path = join(directory, name);
    writeFileSync(`${path}.c`, source);
    const compiler = findTool("cc") ?? "cc";
    const built = run([compiler, "-shared", "-fPIC", "-o", path, `${path}.c`, ...flags]);
    expect(built).toEqual({ status: 0, stdout: "", stderr: "" });
    return path;
  }

  describeWith("cc")("with the double", () => {
    test("says that it is the double, and which later functions it has", () => {
      const { double, optional } = openRknnLibrary(doubleLibrary());
      expect({ double, optional }).toEqual({
        double: "lite3rl double 1",
        optional: ["rknn_mem_sync"],
      });
    });

    test("takes a library without the later functions", () => {
      const old = openRknnLibrary(buildStub("librknnrt_old.so", nativeCompiler()));
      expect(old.optional).toEqual([]);
    });
  });
});

test("NativeError has call, status, name, cause and cure, and the library's last line", () => {
  const error = new NativeError("rknn_init", -1, { because: "B", cure: "C", said: "S" });
  const { code, call, status, statusName, because, cure, message, exitStatus } = error;
  expect({ code, call, status, statusName, because, cure, message, exitStatus }).toEqual({
    code: "NATIVE",
    call: "rknn_init",
    status: -1,
    statusName: "FAIL",
    because: "B",
    cure: "C",
    message: `The NPU library's rknn_init gave -1 (FAIL) (it said "S"): B; C`,
    exitStatus: 6,
  });
});
