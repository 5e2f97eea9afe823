import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { openPower, type PowerOptions, type PowerSource } from "./power.ts";
import { recordPower } from "./power_recorder.ts";

const directory = temporaryDirectory();

/** A tree with these files in /sys/class/hwmon. */
function tree(name: string, files: Readonly<Record<string, string>>): string {
  const root = join(directory, name);
  for (const [path, text] of Object.entries(files)) {
    const full = join(root, "sys/class/hwmon", path);
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, `${text}\n`);
  }
  mkdirSync(root, { recursive: true });
  return root;
}

const INA226 = { "hwmon0/name": "ina226", "hwmon0/power1_input": "11000000" };
const INA3221 = {
  "hwmon1/name": "ina3221",
  "hwmon1/in1_input": "12000",
  "hwmon1/curr1_input": "750",
};

async function reading(options: Partial<PowerOptions>) {
  const source = openPower({ root: "/nowhere", ...options });
  return "read" in source ? [source.name, await source.read()] : source;
}

describe("openPower()", () => {
  test("reads a sensor of hwmon in watts, or current times voltage, and names it", async () => {
    const [one, two] = [tree("one", INA226), tree("two", INA3221)];
    expect([await reading({ root: one }), await reading({ root: two })]).toEqual([
      [`hwmon ina226 power1_input, in the tree "${one}"`, 11],
      [`hwmon ina3221 curr1_input×in1_input, in the tree "${two}"`, 9],
    ]);
  });

  test("does not guess which of several sensors is the board's", async () => {
    const root = tree("several", { ...INA226, ...INA3221 });
    expect(await reading({ root })).toEqual({
      missing:
        "which sensor is the board's? Name one with --power-sensor: " +
        '"ina226 power1_input", "ina3221 curr1_input×in1_input"',
    });
    expect(await reading({ root, powerSensor: "ina226 power1_input" })).toContain(11);
    expect(await refusalOf(() => reading({ root, powerSensor: "ina2" }))).toEqual({
      code: "USAGE",
      message:
        'Cannot use --power-sensor "ina2": there are "ina226 power1_input", ' +
        '"ina3221 curr1_input×in1_input"',
    });
  });

  test("takes no sensor of this machine for another's", async () => {
    const root = tree("here", INA226);
    const why = "the service is on another machine";
    expect(openPower({ root }, why)).toEqual({ missing: why });
    expect(openPower({ root, powerCmd: "echo 9" }, why)).toMatchObject({
      name: 'command "echo 9"',
    });
  });

  test("says where there is none", async () => {
    expect(await reading({ root: tree("bare", {}) })).toEqual({
      missing: "no power sensor in hwmon; name a meter with --power-cmd or --power-file",
    });
  });

  test("takes what a command prints, and the end of a file's last line", async () => {
    const powerFile = join(directory, "meter.csv");
    writeFileSync(powerFile, "time,watts\n12:00:01,7.5\n12:00:02,8.25 W\n");
    expect([
      await reading({ powerCmd: "echo 9.5 W" }),
      await reading({ powerCmd: "sleep 1000 & printf 7 # by hand" }),
      await reading({ powerFile }),
    ]).toEqual([
      ['command "echo 9.5 W"', 9.5],
      ['command "sleep 1000 & printf 7 # by hand"', 7],
      [`file "${powerFile}", last line`, 8.25],
    ]);
  });

  test("refuses what is no number of watts, and two sources", async () => {
    const refuse = async (options: Partial<PowerOptions>) => {
      return (await refusalOf(() => reading(options))).message;
    };
    expect([
      await refuse({ powerCmd: "exit 3" }),
      await refuse({ powerCmd: "echo much" }),
      await refuse({ powerCmd: "echo 11000000" }),
      await refuse({ powerCmd: "echo 1", powerFile: "x" }),
    ]).toEqual([
      "the command ended with status 3, need 0 and watts",
      'the command gave "much", need watts from 0 to 1000',
      "the command gave 11000000, need watts from 0 to 1000",
      "--power-sensor, --power-cmd and --power-file are three sources: name one of them",
    ]);
  });
});

describe("recordPower()", () => {
  /** Gives the values one after the other, and says when the last was taken. */
  function sourceOf(values: readonly number[]) {
    let next = 0;
    const taken = Promise.withResolvers<void>();
    const source: PowerSource = {
      name: "a meter",
      read() {
        const value = values[Math.min(next, values.length - 1)] ?? Number.NaN;
        if (++next === values.length) taken.resolve();
        if (Number.isNaN(value)) throw new Error("it was unplugged");
        return value;
      },
    };
    return { source, taken: taken.promise };
  }

  test("keeps idle and load apart, and what load takes more", async () => {
    const { source, taken } = sourceOf([4]);
    using recorder = recordPower(source, 0.01);
    await taken;
    await Bun.sleep(5);
    const loaded = sourceOf([8, 9, 9]);
    Object.assign(source, { read: loaded.source.read });
    recorder.load();
    await loaded.taken;
    const power = recorder.finish();
    expect(power).toMatchObject({
      state: "measured",
      source: "a meter",
      idle: { meanW: 4, maxW: 4 },
      load: { maxW: 9 },
      aboveIdleW: expect.closeTo(4.7, 0),
      constant: false,
    });
  });

  test("finds a reading that never changed under load, whatever it was before", async () => {
    const { source, taken } = sourceOf([4]);
    using recorder = recordPower(source, 0.01);
    await taken;
    const loaded = sourceOf([8, 8, 8]);
    Object.assign(source, { read: loaded.source.read });
    recorder.load();
    await loaded.taken;
    expect(recorder.finish()).toMatchObject({ state: "measured", constant: true });
  });

  test("measures nothing where the source broke off, or never answered under load", async () => {
    const broken = sourceOf([4, Number.NaN]);
    using one = recordPower(broken.source, 0.001);
    await broken.taken;
    const idle = sourceOf([4]);
    using two = recordPower(idle.source, 1000);
    await idle.taken;
    await Bun.sleep(1);
    two.load();
    expect([one.finish(), two.finish()]).toEqual([
      { state: "missing", why: "a meter: it was unplugged" },
      { state: "missing", why: "a meter: no reading came under load" },
    ]);
  });
});
