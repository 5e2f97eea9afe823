import { expect, test } from "bun:test";
import { existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BINARIES, run } from "../../scripts/dev/project.ts";
import { describeOnAarch64, describeWith, findTool } from "../../scripts/dev/test_tools.ts";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { demoNetwork, readGoldenActions } from "../policy/policy_fixture.ts";
import { runBackendSuite } from "./backend_suite.ts";
import { type IsolatedBackend, openIsolated } from "./isolated.ts";
import {
  aarch64Options,
  doubleLibrary,
  doubleOf,
  doubleOptions,
  int8DoubleOf,
} from "./rknn_double_fixture.ts";

const network = await demoNetwork();
const golden = await readGoldenActions();
const model = doubleOf(network);
const directory = temporaryDirectory();
const IO = ["float", "zero-copy"] as const;
/** What the double says of a run that fails. */
const SUBMIT = ' (it said "E RKNN: failed to submit!, op id: 1, op name: Conv:fail")';
const CURE =
  "RKNN_LOG_LEVEL=4 has it say more, lite3rl doctor checks driver, library and permissions";
/** Largest difference that int8 makes to an action of the demo policy. */
const INT8_TOLERANCE = 0.5;

/** The actions of the first rows. */
async function actions(backend: IsolatedBackend, rows = 64): Promise<Float32Array> {
  const out = new Float32Array(rows * 12);
  const observations = golden.normalised.subarray(0, rows * 45);
  await backend.infer(observations, out, backend.createState(), rows);
  return out;
}

describeWith("cc")("rknn", () => {
  for (const io of IO) {
    const open = (bytes: Uint8Array) => openIsolated(bytes, doubleOptions({}, { io }));
    runBackendSuite(`rknn over the double, float16, ${io}`, () => open(model), {
      tolerance: 4e-3,
    });
    runBackendSuite(
      `rknn over the double, int8, ${io}`,
      () => open(int8DoubleOf(network, golden.normalised)),
      { tolerance: INT8_TOLERANCE },
    );
  }
});

describeWith("cc")("openIsolated()", () => {
  const open = (faults: Record<string, string | number> = {}, limitMs = 20_000) =>
    openIsolated(model, doubleOptions(faults, { limitMs }));
  const refusal = (faults: Record<string, string | number>) =>
    refusalOf(async () => {
      using backend = await open(faults);
      await actions(backend, 1);
    });

  test("says that the double is none, whatever version it pretends", async () => {
    using backend = await open({ API: "9.9.9", DRIVER: "0.7.2" });
    const { name, arithmetic, subject, io, versions } = backend;
    expect({ name, arithmetic, subject, io, versions }).toEqual({
      name: "rknn",
      arithmetic: "double",
      subject: "file",
      io: "float",
      versions: { api: "9.9.9 (lite3rl double 1)", driver: "0.7.2" },
    });
  });

  test("gives the same actions by either path, and takes one of them by itself", async () => {
    const all: Float32Array[] = [];
    for (const io of [...IO, "auto"] as const) {
      using backend = await openIsolated(model, doubleOptions({}, { io }));
      all.push(await actions(backend));
      if (io !== "auto") expect(backend.io).toBe(io);
    }
    expect([all[1], all[2]]).toEqual([all[0], all[0]]);
  });

  test("clamps what int8 cannot hold, instead of wrapping it around", async () => {
    for (const io of IO) {
      const bytes = int8DoubleOf(network, golden.normalised);
      using backend = await openIsolated(bytes, doubleOptions({}, { io }));
      const act = async (value: number): Promise<Float32Array> => {
        const action = new Float32Array(12);
        await backend.infer(new Float32Array(45).fill(value), action, { tensors: [] }, 1);
        return action;
      };
      expect(await act(1e6)).toEqual(await act(1e9));
      expect(await act(1e6)).not.toEqual(await act(-1e6));
    }
  });

  test("tells how long setting, running and fetching took, and what grows hot", async () => {
    using backend = await open({ DELAY_US: 5000, JITTER_US: 100, THERMAL: "1:3" });
    const runs: number[] = [];
    for (let run = 0; run < 2; run++) {
      await actions(backend, 1);
      const [set = NaN, ran = NaN, got = NaN] = backend.timesUs;
      expect(Math.min(set, got)).toBeGreaterThan(0);
      runs.push(ran);
    }
    expect(runs[0]).toBeGreaterThanOrEqual(5000);
    expect(runs[1]).toBeGreaterThanOrEqual(15_000);
  });

  test("takes no number that is none: int8 would make an action of it", async () => {
    using backend = await open();
    const observation = golden.normalised.slice(0, 45).fill(NaN, 3, 4);
    const infer = () => backend.infer(observation, new Float32Array(12), { tensors: [] }, 1);
    expect(await refusalOf(infer)).toEqual({
      code: "MALFORMED",
      message: "Cannot act: observation[3] is NaN, need numbers",
    });
  });

  test("refuses the double where nobody asked for one", async () => {
    const options = { ...doubleOptions(), env: { LITE3RL_DOUBLE: undefined } };
    expect(await refusalOf(() => openIsolated(model, options))).toEqual({
      code: "NATIVE",
      message:
        "The NPU library's rknn_init gave -1 (FAIL) (it said " +
        '"E RKNN: this is the test double of lite3rl, not an NPU: it needs LITE3RL_DOUBLE=1"): ' +
        `it failed without a reason of its own; ${CURE}`,
    });
  });

  const UNEXPLAINED = `it failed without a reason of its own; ${CURE}`;
  const INVALID =
    "the library does not take this model: it is damaged, for another SoC, or newer; " +
    "use a librknnrt at least as new as the toolkit that wrote the model";
  const FAULTS: readonly (readonly [string, Record<string, string | number>, string])[] = [
    [
      "a machine without an NPU",
      { NO_DEVICE: 1 },
      `rknn_init gave -1 (FAIL) (it said "E RKNN: failed to open rknn device!"): ${UNEXPLAINED}`,
    ],
    [
      "another SoC",
      { SOC: "rk3566" },
      'rknn_init gave -6 (MODEL_INVALID) (it said "E RKNN: This rknn model is for another ' +
        `platform, this is rk3566"): ${INVALID}`,
    ],
    [
      "a library older than the file",
      { API: "1.3.4" },
      'rknn_init gave -1 (FAIL) (it said "E RKNN: Invalid RKNN model version 6"): ' + UNEXPLAINED,
    ],
    [
      "a failed load",
      { FAIL: "init:1:-4" },
      "rknn_init gave -4 (MALLOC_FAIL): no NPU memory is left; " +
        "end other users of the NPU, or start this program anew",
    ],
    [
      "a failed core mask",
      { FAIL: "mask:1:-5" },
      "rknn_set_core_mask gave -5 (PARAM_INVALID): a parameter is not what the library takes; " +
        "a library of another version may be needed: lite3rl doctor",
    ],
    [
      "a failed question",
      { FAIL: "query:3:-7" },
      "rknn_query gave -7 (CTX_INVALID): the context is not valid; report it as a bug",
    ],
    [
      "a failed set",
      { FAIL: "set:1:-8" },
      "rknn_inputs_set gave -8 (INPUT_INVALID): an input is not valid; report it as a bug",
    ],
    [
      "a failed run",
      { FAIL: "run:1:-2" },
      `rknn_run gave -2 (TIMEOUT)${SUBMIT}: the NPU did not finish in time; ` +
        "look for rknpu in dmesg, and update the driver",
    ],
    [
      "a failed get",
      { FAIL: "get:1:-9" },
      "rknn_outputs_get gave -9 (OUTPUT_INVALID): an output is not valid; report it as a bug",
    ],
    [
      "a status of no version",
      { FAIL: "run:1:-99" },
      `rknn_run gave -99 (an unknown status)${SUBMIT}: no version documents it; ` +
        "RKNN_LOG_LEVEL=4 has the library say more",
    ],
  ];
  for (const [what, faults, message] of FAULTS) {
    test(`names ${what}`, async () => {
      expect(await refusal(faults)).toEqual({
        code: "NATIVE",
        message: `The NPU library's ${message}`,
      });
    });
  }

  test("gives no old action after a failed run, and goes on", async () => {
    using backend = await open({ FAIL: "run:2:-1" });
    const [first, action] = [await actions(backend, 1), new Float32Array(12).fill(7)];
    const infer = () =>
      backend.infer(golden.normalised.subarray(0, 45), action, backend.createState(), 1);
    expect((await refusalOf(infer)).code).toBe("NATIVE");
    expect(action.every((value) => value === 7)).toBe(true);
    expect(await actions(backend, 1)).toEqual(first);
  });

  test("gives each of many calls at once its own action, through a new process too", async () => {
    const once = join(directory, "together");
    mkdirSync(once);
    using backend = await open({ CRASH_AT: 200, ONCE: once });
    const expected = await actions(backend, 64);
    await expect(actions(backend, 200)).rejects.toThrow("ended by SIGSEGV");
    const rows = Array.from({ length: 64 }, (_, row) => {
      const observation = golden.normalised.subarray(row * 45, (row + 1) * 45);
      const action = new Float32Array(12);
      return backend.infer(observation, action, { tensors: [] }, 1)?.then(() => action);
    });
    const together = (await Promise.all(rows)).flatMap((action) => Array.from(action ?? []));
    expect(together).toEqual(Array.from(expected));
  });

  test("leaves a batch alone of which one row failed", async () => {
    using backend = await open({ FAIL: "run:3:-1" });
    const action = new Float32Array(4 * 12).fill(7);
    const infer = () =>
      backend.infer(golden.normalised.subarray(0, 4 * 45), action, backend.createState(), 4);
    expect((await refusalOf(infer)).code).toBe("NATIVE");
    expect(action.every((value) => value === 7)).toBe(true);
  });

  const AFTER = "; the next call starts another, lite3rl doctor checks library and driver";
  const endedBy = (signal: string, said: string) => ({
    code: "NATIVE" as const,
    message: `Cannot act: the process of the NPU library was ended by ${signal}${said}${AFTER}`,
  });

  test("survives a crash and an abort, and starts another process", async () => {
    const once = join(directory, "crashes");
    mkdirSync(once);
    using backend = await open({ CRASH_AT: 2, ABORT_AT: 3, ONCE: once });
    const first = await actions(backend, 1);
    const pids = [backend.pid];
    const failures: unknown[] = [];
    const fail = async (): Promise<void> => {
      failures.push(await refusalOf(() => actions(backend, 1)));
      pids.push(backend.pid);
    };
    await fail(); // Run 2 of the first process; the second one aborts in its third.
    expect([await actions(backend, 1), await actions(backend, 1)]).toEqual([first, first]);
    await fail();
    expect(await actions(backend, 1)).toEqual(first);
    expect(failures).toEqual([
      endedBy(
        "SIGSEGV",
        ', its last line is "E RKNN: failed to submit!, op id: 1, op name: Conv:crash"',
      ),
      endedBy("SIGABRT", ""),
    ]);
    expect(new Set([...pids, backend.pid]).size).toBeGreaterThanOrEqual(3);
  });

  test("names a process that ends while the model is loaded", async () => {
    const program = ["sh", "-c", "echo last words >&2; exit 3"];
    const options = doubleOptions({}, { program });
    expect(await refusalOf(() => openIsolated(model, options))).toEqual({
      code: "NATIVE",
      message:
        "Cannot load the model into the NPU: the process of the NPU library ended with status 3, " +
        'its last line is "last words"; lite3rl doctor checks library and driver',
    });
    const nowhere = doubleOptions({}, { program: [join(directory, "nowhere")] });
    expect((await refusalOf(() => openIsolated(model, nowhere))).message).toStartWith(
      "Cannot start a process for the NPU library: ENOENT",
    );
  });

  test("ends a process that hangs", async () => {
    const once = join(directory, "hangs");
    mkdirSync(once);
    using backend = await open({ HANG_AT: 1, ONCE: once }, 300);
    const hung = backend.pid ?? 0;
    expect(await refusalOf(() => actions(backend, 1))).toEqual({
      code: "DEADLINE",
      message:
        'Cannot act: the NPU library did not return within 300 ms, its last line is "E RKNN: ' +
        'failed to wait for the NPU", its process is ended; the next call starts another, ' +
        "look for rknpu in dmesg",
    });
    expect(await actions(backend, 1)).toHaveLength(12);
    expect([backend.pid === hung, existsSync(`/proc/${hung}/exe`)]).toEqual([false, false]);
  });

  test("says that it loads where that takes its time", async () => {
    const lines = await linesDuring(async () => {
      // Both ways in are measured, by 32 runs each.
      using _ = await openIsolated(model, doubleOptions({ DELAY_US: 55_000 }, { io: "auto" }));
    });
    expect(lines).toEqual(["loading the model … (for at most 60 s)"]);
  });

  test("leaves no process behind", async () => {
    const backend = await open();
    const { pid = 0 } = backend;
    expect(existsSync(`/proc/${pid}/exe`)).toBe(true);
    backend[Symbol.dispose]();
    await waitFor(() => !existsSync(`/proc/${pid}/exe`));
  });

  test("its process ends with the one that started it, while it hangs too", async () => {
    const path = join(directory, "demo.rknn");
    writeFileSync(path, model);
    const script = join(import.meta.dir, "./isolated_hang_fixture.ts");
    const parent = Bun.spawn([process.execPath, script, path, doubleLibrary()], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const { value } = await parent.stdout.getReader().read();
    const pid = Number(new TextDecoder().decode(value));
    expect(existsSync(`/proc/${pid}/exe`)).toBe(true);
    parent.kill("SIGKILL");
    await waitFor(() => !existsSync(`/proc/${pid}/exe`));
  });

  test("keeps no more of a library's words than a few megabytes", async () => {
    using backend = await open({ NOISE: 8192 });
    const action = new Float32Array(12);
    const state = backend.createState();
    for (let call = 0; call < 1100; call++) {
      await backend.infer(golden.normalised.subarray(0, 45), action, state, 1);
    }
    expect(statSync(`/proc/${backend.pid}/fd/2`).size).toBeLessThan(1 << 20);
  });

  test("100,000 calls with faults: no wrong, old or partial action, and no growth", () => {
    const path = join(directory, "soak.rknn");
    writeFileSync(path, model);
    const once = join(directory, "soak");
    mkdirSync(once);
    const script = join(import.meta.dir, "./isolated_soak_fixture.ts");
    const ran = run([process.execPath, script, path, doubleLibrary(), once]);
    expect(ran.stderr).toBe("");
    const { grownKb, errors, ...counts } = JSON.parse(ran.stdout);
    const hung =
      "DEADLINE: Cannot act: the NPU library did not return within 500 ms, its last line is " +
      '"E RKNN: failed to wait for the NPU", its process is ended; the next call starts another, ' +
      "look for rknpu in dmesg";
    const crash = endedBy(
      "SIGSEGV",
      ', its last line is "E RKNN: failed to submit!, op id: 1, op name: Conv:crash"',
    );
    expect({ errors, ...counts }).toEqual({
      errors: {
        [`NATIVE: The NPU library's rknn_run gave -1 (FAIL)${SUBMIT}: ${UNEXPLAINED}`]: 1999,
        "NATIVE: Cannot act: the NPU gave NaN as action[0], need finite numbers": 100,
        [hung]: 1,
        [`${crash.code}: ${crash.message}`]: 1,
      },
      acted: 97_899,
      wrong: 0,
      partial: 0,
      processes: 3,
    });
    expect(grownKb.parent).toBeLessThan(5_000);
    expect(grownKb.child).toBeLessThan(5_000);
  }, 300_000);
});

async function waitFor(isSo: () => boolean): Promise<void> {
  for (const deadline = performance.now() + 20_000; !isSo(); await Bun.sleep(10)) {
    if (performance.now() > deadline) throw new Error("it did not come about within 20 s");
  }
}

describeOnAarch64("cc", "zig")("rknn on aarch64", () => {
  const open = (bytes: Uint8Array, io: (typeof IO)[number]) =>
    openIsolated(
      bytes,
      doubleOptions({}, { ...aarch64Options(findTool("qemu") ?? "", BINARIES.arm64), io }),
    );
  for (const io of IO) {
    runBackendSuite(`rknn over the aarch64 double, ${io}`, () => open(model, io), {
      tolerance: 4e-3,
    });
  }

  test("gives what x86-64 gives, to the last bit", async () => {
    for (const bytes of [model, int8DoubleOf(network, golden.normalised)]) {
      using here = await openIsolated(bytes, doubleOptions());
      using there = await open(bytes, "float");
      expect(await actions(there)).toEqual(await actions(here));
    }
  }, 60_000);
});
