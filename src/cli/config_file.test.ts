import { describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "../base/directory_fixture.ts";
import { Lite3Error } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import { refusalOf } from "../base/refusal_fixture.ts";
import { findConfigFiles, readConfigFile } from "./config_file.ts";
import { settablesOf } from "./settings.ts";
import { VERBS } from "./verbs.ts";

const directory = temporaryDirectory();
const file = join(directory, "lite3rl.yaml");

async function read(verb: string, text: string): Promise<Record<string, unknown>> {
  writeFileSync(file, text);
  const command = await VERBS.find(({ name }) => name === verb)!.load();
  const { section, shared } = readConfigFile(file, verb, settablesOf(command));
  const plain = [shared, section].map((layer) =>
    [...layer].map(([key, { value }]) => [key, value]),
  );
  return Object.fromEntries(plain.flat()) as Record<string, unknown>;
}

describe("readConfigFile()", () => {
  test("takes a verb's section and the shared keys that are its flags", async () => {
    const text = `
obs-stats: /stats.npz
seed: 3          # not serve's
serve:
  model: /a.onnx
  warmup: 1e1
  tcp: true
  insecure-network: true
agent: {fast: true, command: [0.5, 0, -0.25], duration: 10s}
export:
parity:
  a: /a.onnx
  b: 7
`;
    expect(await read("serve", text)).toEqual({
      obsStats: "/stats.npz",
      model: "/a.onnx",
      warmup: 10,
      tcp: true,
      insecureNetwork: true,
    });
    expect(await read("agent", text)).toEqual({
      obsStats: "/stats.npz",
      seed: 3,
      fast: true,
      command: "0.5,0,-0.25",
      duration: "10s",
    });
    expect(await read("parity", text)).toEqual({
      obsStats: "/stats.npz",
      seed: 3,
      a: "/a.onnx",
      b: 7,
    });
    expect(await read("export", "")).toEqual({});
    expect(await read("export", "# nothing\n")).toEqual({});
    expect(await read("serve", "serve: {tcp: false}")).toEqual({});
  });

  test("says of each value where it stands", async () => {
    writeFileSync(file, "env: lite3\nagent:\n  rate: 83.3\n");
    const command = await VERBS.find(({ name }) => name === "agent")!.load();
    const { section, shared } = readConfigFile(file, "agent", settablesOf(command));
    expect([...shared, ...section]).toEqual([
      [
        "env",
        {
          name: "env",
          value: "lite3",
          source: file,
          origin: `${file}:1`,
          subject: `Cannot use ${JSON.stringify(`${file}:1`)}: env`,
        },
      ],
      [
        "rate",
        {
          name: "rate",
          value: 83.3,
          source: file,
          origin: `${file}:3`,
          subject: `Cannot use ${JSON.stringify(`${file}:3`)}: agent.rate`,
        },
      ],
    ]);
  });

  test("takes paths as relative to the file, and words as words", async () => {
    mkdirSync(join(directory, "lite3"), { recursive: true });
    writeFileSync(join(directory, "here.onnx"), "");
    const text = `
collect: {policy: here.onnx, output: build/x.npy, env: lite3, obs-stats: ../s.npz}
parity: {a: ./gone.onnx, b: emulated, dataset: d.npy}
agent: {connect: "unix:/tmp/x.sock", model: /abs.onnx}
`;
    expect(await read("collect", text)).toEqual({
      policy: join(directory, "here.onnx"),
      output: join(directory, "build/x.npy"),
      env: "lite3",
      obsStats: join(directory, "../s.npz"),
    });
    expect(await read("parity", text)).toEqual({
      a: join(directory, "gone.onnx"),
      b: "emulated",
      dataset: join(directory, "d.npy"),
    });
    expect(await read("agent", text)).toEqual({ connect: "unix:/tmp/x.sock", model: "/abs.onnx" });
  });
});

const SETTINGS = `obs-stats: s.npz
env: lite3
serve:
  model: "build/policy.onnx"
  warmup: 16
  tcp: 127.0.0.1:80
agent: {fast: true, command: [0.5, 0, 0]}
`;

const AT_TOP =
  "need a verb, or one of model, obs-stats, env, dataset, start, rate, seed, target, python";

/** YAML for `serve` → the line, and what is said of it. */
const REFUSED: Record<string, readonly [yaml: string, line: number, message: string]> = {
  "a list": ["- serve", 1, "need verbs and flags with their values"],
  "a word": ["serve", 1, "need verbs and flags with their values"],
  "an unknown verb": ["agent:\nexprot: {}", 2, 'unknown key "exprot": did you mean export?'],
  "an unknown key": ["zzz: 1", 1, `unknown key "zzz", ${AT_TOP}`],
  "a flag of one verb at the top": [
    "socket: /tmp/x",
    1,
    'unknown key "socket": it belongs to one verb, write it under serve',
  ],
  "an unknown flag": ["serve:\n\n  modle: x", 3, 'unknown key "serve.modle": did you mean model?'],
  "a flag of another verb": [
    "serve: {dataset: x}",
    1,
    'unknown key "serve.dataset"; see lite3rl serve --help',
  ],
  "no value": ["serve:\n  model:", 2, "serve.model needs a value, got nothing"],
  "no value at the top": ["model:", 1, "model needs a value, got nothing"],
  "a switch without sense": [
    "serve: {insecure-network: 1}",
    1,
    'serve.insecure-network needs true or false, got "1"',
  ],
  "control characters": [
    'serve: {model: "a\\0b"}',
    1,
    "serve.model needs a value without control characters",
  ],
  "a mapping for a value": [
    "serve: {model: {a: 1}}",
    1,
    "serve.model needs a value, got an alias or a mapping",
  ],
  "lists in a list": ["model: [1, [2]]", 1, "model needs a value, got an alias or a mapping"],
  "a list for a verb": ["serve: [1]", 1, "serve is a verb, need its flags with their values"],
  "a key without a value": ["? serve", 1, "need the name of a verb or flag, a colon and its value"],
  "a number for a key": ["12: 3", 1, "need the name of a verb or flag, a colon and its value"],
  "an alias": [
    "model: &m x\nserve: {socket: *m}",
    2,
    "serve.socket needs a value, got an alias or a mapping",
  ],
  "an alias for a verb": [
    "agent: &a {fast: true}\nserve: *a",
    2,
    "serve is a verb, need its flags with their values",
  ],
  "a merge key": ["serve: {<<: {model: x}}", 1, 'unknown key "serve.<<"; see lite3rl serve --help'],
  "a prototype": [
    "serve: {__proto__: x}",
    1,
    'unknown key "serve.__proto__"; see lite3rl serve --help',
  ],
};

describe("readConfigFile() refuses", () => {
  for (const [what, [yaml, line, message]] of Object.entries(REFUSED)) {
    test(what, async () => {
      expect(await refusalOf(() => read("serve", yaml))).toEqual({
        code: "CONFIG",
        message: `Cannot use ${JSON.stringify(`${file}:${line}`)}: ${message}`,
      });
    });
  }

  test("YAML that is none, keys that come twice, tags, and more than one document", async () => {
    const messages: string[] = [];
    for (const yaml of ['serve: "x', "model: a\nmodel: b", "a: 1\n---\nb: 2"]) {
      messages.push((await refusalOf(() => read("serve", yaml))).message);
    }
    const start = `Cannot use config ${JSON.stringify(file)}: `;
    expect(messages).toEqual([
      `${start}Missing closing "quote at line 1, column 10`,
      `${start}Map keys must be unique at line 2, column 1`,
      expect.stringMatching(/Source contains multiple documents.* at line 2, column 1$/),
    ]);
    expect(await refusalOf(() => read("serve", "model: !!python/object:os.system x"))).toEqual({
      code: "CONFIG",
      message:
        `Cannot use ${JSON.stringify(file)}: ` +
        "Unresolved tag: tag:yaml.org,2002:python/object:os.system at line 1, column 8",
    });
  });

  test("hostile files quickly: bombs of aliases, nesting, keys and bytes", async () => {
    const level = (i: number): string => `- &a${i + 1} [*a${i}, *a${i}, *a${i}, *a${i}]`;
    const bomb = `serve:\n- &a0 x\n${Array.from({ length: 60 }, (_, i) => level(i)).join("\n")}`;
    const keys = Array.from({ length: 80_000 }, (_, i) => ` k${i}: 1`).join("\n");
    const codes: string[] = [];
    for (const yaml of [bomb, "[".repeat(400_000), `serve:\n${keys}`, "x".repeat(2 << 20)]) {
      codes.push((await refusalOf(() => read("serve", yaml))).code);
    }
    expect(codes).toEqual(["CONFIG", "CONFIG", "CONFIG", "TOO_LARGE"]);
  }, 20_000);
});

test("readConfigFile() gives settings or CONFIG for a file with any byte changed", async () => {
  const random = createRandom(7);
  const outcomes: Record<string, number> = { taken: 0, CONFIG: 0 };
  for (let i = 0; i < 400; i++) {
    const bytes = Buffer.from(SETTINGS);
    bytes[Math.floor(random.between(0, bytes.length))] = Math.floor(random.between(0, 256));
    try {
      await read("serve", bytes.toString("latin1"));
      outcomes.taken!++;
    } catch (error) {
      if (!(error instanceof Lite3Error)) throw error;
      outcomes[error.code] = (outcomes[error.code] ?? 0) + 1;
    }
  }
  expect(outcomes).toEqual({ taken: expect.any(Number), CONFIG: expect.any(Number) });
  expect([outcomes.taken! > 50, outcomes.CONFIG! > 50]).toEqual([true, true]);
});

describe("findConfigFiles()", () => {
  test("takes the file that is named, or none", () => {
    expect([findConfigFiles("x.yaml"), findConfigFiles(false)]).toEqual([["x.yaml"], []]);
  });

  test("refuses a file that everybody may write, unless it is named", async () => {
    const before = process.cwd();
    writeFileSync(file, "");
    chmodSync(file, 0o666);
    process.chdir(directory);
    try {
      expect(await refusalOf(() => findConfigFiles(undefined))).toEqual({
        code: "CONFIG",
        message:
          'Cannot use "lite3rl.yaml": everybody may write it, need a file of yours or root\'s; ' +
          "--config-file lite3rl.yaml takes it all the same, --no-config-file leaves it",
      });
      chmodSync(file, 0o644);
      expect(findConfigFiles(undefined)[0]).toBe("lite3rl.yaml");
    } finally {
      process.chdir(before);
    }
  });
});
