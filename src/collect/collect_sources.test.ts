import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { linesDuring } from "../base/log_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { readNpy, writeNpy } from "../formats/npy.ts";
import { collect, type CollectOptions } from "./collect.ts";

setDefaultTimeout(60_000);

const directory = temporaryDirectory();
let count = 0;
const place = (extension: string): string => join(directory, `f${count++}.${extension}`);

const options = (more: Partial<CollectOptions> = {}): CollectOptions => ({
  env: "lite3",
  policy: "random",
  samples: 40,
  output: place("npy"),
  seed: 0,
  ...more,
});

describe("collect() of recorded sets", () => {
  /** Three numbers a row, of which the first two are the command. */
  function recorded(rows: readonly (readonly number[])[]): string {
    const path = place("npy");
    const data = Float32Array.from(rows.flat());
    writeFileSync(path, writeNpy({ dtype: "float32", shape: [rows.length, 3], data }));
    return path;
  }
  const rowsOf = (path: string): number[][] => {
    const { data, shape } = readNpy(readFileSync(path));
    return Array.from({ length: shape[0] ?? 0 }, (_, row) => [
      ...(data as Float32Array).subarray(row * 3, row * 3 + 3),
    ]);
  };
  const asked = (sets: string[], more: Partial<CollectOptions> = {}) => {
    const terms = [
      { name: "command", size: 2 },
      { name: "rest", size: 1 },
    ];
    return options({ sets, policy: undefined, terms, ...more });
  };

  test("joins them in order, with what they are", async () => {
    const one = recorded([
      [0, 0, 1],
      [1, 0, 2],
    ]);
    const two = recorded([[1, 0, 2]]);
    const given = asked([one, two]);
    const { output } = given;
    expect(await collect(given)).toMatchObject({
      samples: 3,
      chosenFrom: 3,
      policy: null,
      environment: null,
      sets: [
        { path: one, rows: 2 },
        { path: two, rows: 1 },
      ],
      episodes: 0,
      duplicates: 1,
      commands: { covered: 2, cells: 5, standing: 1 / 3 },
      terrains: null,
    });
    expect(rowsOf(output)).toEqual([
      [0, 0, 1],
      [1, 0, 2],
      [1, 0, 2],
    ]);
  });

  test("keeps the rows that cover most, and as many of each command when asked", async () => {
    const still = Array.from({ length: 50 }, (_, i) => [0, 0, i / 1000]);
    const moving = [
      [1, 0, 5],
      [-1, 0, -5],
      [0, 1, 9],
      [0, -1, -9],
    ];
    const set = recorded([...still, ...moving]);
    const spread = asked([set], { samples: 5 });
    expect((await collect(spread)).chosenFrom).toBe(54);
    expect(rowsOf(spread.output).slice(-4)).toEqual(moving);
    const balanced = asked([set], { samples: 6, stratify: "command" });
    await collect(balanced);
    expect(rowsOf(balanced.output).filter(([vx, vy]) => vx === 0 && vy === 0).length).toBe(2);
  });

  test("takes 45 numbers for the Lite3's, aloud, and others for one term", async () => {
    const path = place("npy");
    writeFileSync(path, writeNpy({ dtype: "float32", shape: [2, 45], data: new Float32Array(90) }));
    const lines = await linesDuring(async () => {
      const { coverage } = await collect(asked([path], { terms: undefined }));
      expect(coverage.map(({ term }) => term)).toEqual([
        "base_angular_velocity",
        "projected_gravity",
        "command",
        "joint_position",
        "joint_velocity",
        "last_action",
      ]);
    });
    expect(lines).toEqual(["45 numbers: taken as the Lite3's observation; --terms says otherwise"]);
    const { coverage } = await collect(asked([recorded([[1, 2, 3]])], { terms: undefined }));
    expect(coverage.map(({ term }) => term)).toEqual(["observation"]);
  });

  test("refuses sets and terms that do not fit together, or have no command", async () => {
    const [three, four] = [recorded([[1, 2, 3]]), place("npy")];
    writeFileSync(four, writeNpy({ dtype: "float32", shape: [1, 4], data: new Float32Array(4) }));
    expect(await refusalOf(() => collect(asked([three, four])))).toEqual({
      code: "CONFIG",
      message: `Cannot use "${four}": it is 4 wide, need the 3 of "${three}"`,
    });
    expect(await refusalOf(() => collect(asked([four])))).toEqual({
      code: "CONFIG",
      message: `Cannot use "${four}": it is 4 wide, need the 3 of --terms`,
    });
    const stratify = { terms: [{ name: "x", size: 3 }], stratify: "command" } as const;
    expect(await refusalOf(() => collect(asked([three], stratify)))).toEqual({
      code: "USAGE",
      message:
        "Cannot stratify by command: the observation has x; say where the command is with " +
        "--terms, such as other:6,command:3,rest:36",
    });
  });
});

describe("collect() with more than is kept", () => {
  test("records more, and keeps what covers most", async () => {
    const given = options({ policy: "stand", samples: 20, oversample: 3 });
    expect(await collect(given)).toMatchObject({ samples: 20, chosenFrom: 60 });
    expect(readNpy(readFileSync(given.output)).shape).toEqual([20, 45]);
  });

  test("refuses more than fits into memory", async () => {
    const given = options({ policy: "stand", samples: 10_000_000, oversample: 64 });
    expect(await refusalOf(() => collect(given))).toEqual({
      code: "TOO_LARGE",
      message:
        "Cannot record 640000000 observations of 45 numbers: they are 115200000000 bytes, at " +
        "most 2147483647 are taken; lower --samples or --oversample",
    });
  });

  test("balances commands out of four times as many", async () => {
    const plainly = options({ policy: "stand", samples: 250 });
    const balanced = options({ policy: "stand", samples: 250, stratify: "command" });
    const [one, two] = [await collect(plainly), await collect(balanced)];
    expect(two.chosenFrom).toBe(1000);
    expect(two.commands!.covered).toBeGreaterThan(one.commands!.covered);
  });
});

describe("collect() of a program that fails on the way", () => {
  const failing = (): string => {
    const path = place("ts");
    writeFileSync(
      path,
      `let steps = 0;
      export default {
        observationSize: 2, actionSize: 1, reset: () => [7, 8],
        step() {
          if (++steps === 3) throw new Error("boom");
          return { observation: [steps, steps], reward: 0, terminated: false };
        },
      };`,
    );
    return path;
  };

  test("keeps what was seen beside the output, which stays as it was", async () => {
    const env = failing();
    const given = options({ env });
    const before = writeNpy({ dtype: "float32", shape: [1, 1], data: Float32Array.of(5) });
    writeFileSync(given.output, before);
    const partial = given.output.replace(".npy", ".partial.npy");
    let refusal;
    await linesDuring(async () => (refusal = await refusalOf(() => collect(given))));
    expect(refusal).toEqual({
      code: "PROGRAM",
      message:
        `Cannot step environment "${env}": Error: boom in ${basename(env)}:5; the 3 of 40 ` +
        `observations before it are in "${partial}"`,
    } as never);
    expect(new Uint8Array(readFileSync(given.output))).toEqual(before);
    const { shape, data } = readNpy(readFileSync(partial));
    expect([shape, [...(data as Float32Array)]]).toEqual([
      [3, 2],
      [7, 8, 1, 1, 2, 2],
    ]);
  });

  const set = (rows: number): Uint8Array<ArrayBuffer> =>
    writeNpy({ dtype: "float32", shape: [rows, 2], data: new Float32Array(rows * 2) });

  test("keeps a longer partial set of an earlier run", async () => {
    const given = options({ env: failing() });
    const partial = given.output.replace(".npy", ".partial.npy");
    writeFileSync(partial, set(4));
    let message = "";
    await linesDuring(async () => ({ message } = await refusalOf(() => collect(given))));
    expect(message).toEndWith(
      `; "${partial}" is kept as it is: it has 4 observations, these were 3`,
    );
    expect(new Uint8Array(readFileSync(partial))).toEqual(set(4));
  });

  test("removes the partial set of an earlier run when the set is whole", async () => {
    const given = options({ policy: "stand", samples: 2 });
    const partial = given.output.replace(".npy", ".partial.npy");
    writeFileSync(partial, set(1));
    const lines = await linesDuring(() => collect(given));
    expect(lines).toEqual([`removed "${partial}", the set is whole now`]);
    expect(existsSync(partial)).toBe(false);
  });

  test("replaces no file of another kind", async () => {
    const output = place("yaml");
    writeFileSync(output, "collect:\n  samples: 4\n");
    expect(await refusalOf(() => collect(options({ policy: "stand", output })))).toEqual({
      code: "CONFIG",
      message:
        `Cannot write "${output}": the file that is there is no .npy, ` +
        "name another with --output",
    });
    expect(readFileSync(output, "utf8")).toBe("collect:\n  samples: 4\n");
  });

  test("never writes over the program", async () => {
    const env = failing();
    const before = readFileSync(env, "utf8");
    const { code } = await refusalOf(() => collect(options({ env, output: env })));
    expect([code, readFileSync(env, "utf8")]).toEqual(["CONFIG", before]);
  });

  test("writes nothing where nothing was seen", async () => {
    const env = place("ts");
    writeFileSync(
      env,
      "export default { observationSize: 1, actionSize: 1, step() {}, reset() {} }",
    );
    const given = options({ env });
    expect((await refusalOf(() => collect(given))).message).toBe(
      `Cannot reset environment "${env}": it gave an observation that is undefined, need 1 numbers`,
    );
    expect(existsSync(given.output.replace(".npy", ".partial.npy"))).toBe(false);
  });
});
