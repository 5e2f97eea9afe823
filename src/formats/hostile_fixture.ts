/**
 * For tests: checkpoints made to execute, exhaust or mislead, each by the name of its attack.
 */

import {
  bool,
  call,
  type Code,
  dict,
  global,
  int,
  list,
  NONE,
  persistent,
  pickle,
  text,
  tuple,
} from "./pickle_fixture.ts";
import { tensorCode, writeTorch } from "./torch_fixture.ts";
import { writeTorchLegacy } from "./torch_legacy_fixture.ts";
import { writeZip } from "./zip.ts";
import { buildZip, type Part } from "./zip_fixture.ts";

export interface Attack {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/** Every attack; one that executes anything makes the file `canary`. */
export function attacks(canary: string): Attack[] {
  return Object.entries({
    ...executions(canary),
    ...trees(),
    ...tensors(),
    ...archives(),
    ...floods(),
  }).map(([name, bytes]) => ({ name, bytes }));
}

const BIAS = tensorCode({ key: "b", shape: [1] });
const ONE = new Uint8Array(4);
/** A checkpoint whose first weight is something else. */
const asWeight = (weight: Code, storages: Record<string, Uint8Array> = {}): Uint8Array =>
  writeTorch(dict({ "actor.0.weight": weight, "actor.0.bias": BIAS }), { b: ONE, ...storages });
const asRoot = (root: Code): Uint8Array => writeTorch(root, {});

/** What `pickle.load` would have run. */
function executions(canary: string): Record<string, Uint8Array> {
  const command = text(`touch '${canary}'`);
  const python = text(`open(${JSON.stringify(canary)}, "w")`);
  const system = call(global("posix", "system"), command);
  const stackGlobal: Code = [...text("builtins"), ...text("eval"), 0x93];
  const getattr = call(global("builtins", "getattr"), global("os", "path"), text("os"));
  const state: Code = [...call(global("__main__", "Evil")), ...dict({ x: system }), 0x62];
  return {
    "os.system as the whole checkpoint": asRoot(system),
    "os.system in the place of a weight": asWeight(system),
    "os.system beside the weights": writeTorch(
      dict({ state_dict: dict({ "actor.0.weight": TENSOR }), infos: system }),
      { a: ONE },
    ),
    "eval by GLOBAL": asWeight(call(global("builtins", "eval"), python)),
    "eval by STACK_GLOBAL": asWeight(call(stackGlobal, python)),
    "eval by INST": asWeight([0x28, ...python, 0x69, ...Buffer.from("builtins\neval\n")]),
    "eval by OBJ": asWeight([0x28, ...global("builtins", "eval"), ...python, 0x6f]),
    "a function that getattr finds": asWeight(call([...getattr], command)),
    "__setstate__ by BUILD": asRoot(state),
    "a class by NEWOBJ": asWeight([...global("subprocess", "Popen"), ...tuple(command), 0x81]),
    "a class by NEWOBJ_EX": asWeight([
      ...global("subprocess", "Popen"),
      ...tuple(command),
      ...dict({ shell: bool(true) }),
      0x92,
    ]),
    "an extension code": asWeight([0x82, 1]),
    "a persistent id that calls": asWeight([...system, 0x51]),
    "a tensor with hooks that call": asWeight(
      call(
        global("torch._utils", "_rebuild_tensor_v2"),
        persistent(
          text("storage"),
          global("torch", "FloatStorage"),
          text("a"),
          text("cpu"),
          int(1),
        ),
        int(0),
        tuple(int(1), int(1)),
        tuple(int(1), int(1)),
        bool(false),
        system,
      ),
      { a: ONE },
    ),
    "a legacy stream whose tree calls": writeTorchLegacy({ root: system, storages: {} }),
    "a legacy stream whose module's source calls": writeTorchLegacy({
      root: persistent(text("module"), global("__main__", "Evil"), text("evil.py"), python),
      storages: {},
    }),
  };
}

const TENSOR = tensorCode({ key: "a", shape: [1, 1] });
const nested = (open: Code, close: Code, depth: number): Code => [
  ...Array.from({ length: depth }, () => open).flat(),
  ...Array.from({ length: depth }, () => close).flat(),
];

/** Trees that harm whoever walks them, and pickles that lie about themselves. */
function trees(): Record<string, Uint8Array> {
  const laughs = Array.from({ length: 60 }, () => [0x32, 0x86]).flat(); // DUP TUPLE2
  return {
    "a list that contains itself": asRoot([0x5d, 0x71, 0, 0x68, 0, 0x61]),
    "a dict that contains itself": asRoot([0x7d, 0x71, 0, ...text("a"), 0x68, 0, 0x73]),
    "a call with itself as its argument": asRoot([
      0x5d,
      0x71,
      0,
      ...call(global("a", "b"), [0x68, 0]),
      0x61,
    ]),
    "a memo that was never set": asRoot([0x68, 9]),
    "lists within lists, 100000 deep": asRoot(nested([0x5d, 0x28], [0x65], 100_000)),
    "tuples within tuples, 100000 deep": asRoot([0x29, ...nested([0x85], [], 100_000)]),
    "calls of calls, 100000 deep": asRoot([
      ...global("a", "b"),
      ...nested([0x29, 0x52], [], 100_000),
    ]),
    "a billion laughs": asRoot([...text("ha"), ...laughs]),
    "text of 2^63 bytes": asRoot([0x8d, 0, 0, 0, 0, 0, 0, 0, 0x80]),
    "bytes of 2^32 - 1": asRoot([0x42, 0xff, 0xff, 0xff, 0xff]),
    "an int of 2^31 - 1 bytes": asRoot([0x8b, 0xff, 0xff, 0xff, 0x7f]),
    "a frame that is not there": asRoot([0x95, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]),
    "two million opcodes": asRoot(Array.from({ length: 1_000_000 }, () => [0x4e, 0x30]).flat()),
    "no end": writeTorchWith(Uint8Array.of(0x80, 2, 0x4e)),
    "protocol 0": writeTorchWith(Buffer.from("cposix\nsystem\n(S'true'\ntR.")),
    "protocol 6": writeTorchWith(pickle(NONE, 6)),
    "an empty pickle": writeTorchWith(new Uint8Array(0)),
  };
}

const writeTorchWith = (tree: Uint8Array): Uint8Array => writeZip({ "archive/data.pkl": tree });

/** Tensors that are not in the file, or are there a thousand times. */
function tensors(): Record<string, Uint8Array> {
  const weight = (parts: Partial<Parameters<typeof tensorCode>[0]>, bytes = 16) =>
    asWeight(tensorCode({ key: "a", shape: [2, 2], elements: 4, ...parts }), {
      a: new Uint8Array(bytes),
    });
  const billion = 1e9;
  const ones = Array.from({ length: 100_000 }, () => 1);
  const sizes = [int(0), tuple(int(1)), tuple(int(1)), bool(false), NONE];
  return {
    "10^9 rows of a storage that has 4": weight({ shape: [billion, 1], strides: [0, 0] }),
    "10^9 elements that the file does not have": weight({ shape: [billion], elements: billion }),
    "2^53 elements": weight({ shape: [2 ** 31, 2 ** 31], elements: 4 }),
    "100000 dimensions": weight({ shape: ones, strides: ones }),
    "a shape below zero": weight({ shape: [-2, -2], strides: [1, 1] }),
    "a storage shorter than it says": weight({}, 12),
    "a storage longer than it says": weight({}, 20),
    "a view that is longer than its storage": weight({ shape: [2, 3] }),
    "a view that begins behind its storage": weight({ offset: 1 }),
    "an offset of 2^53": weight({ offset: Number.MAX_SAFE_INTEGER }),
    "an offset below zero": weight({ offset: -1 }),
    "negative strides": weight({ offset: 3, strides: [-2, -1] }),
    "strides that reach too far": weight({ strides: [3, 1] }),
    "a storage key that leaves the archive": asWeight(
      tensorCode({ key: "../../../etc/passwd", shape: [1, 1] }),
    ),
    "a storage that is the tree": asWeight(tensorCode({ key: "../data.pkl", shape: [1, 1] })),
    "a storage of text": asWeight(
      call(global("torch._utils", "_rebuild_tensor_v2"), text("a"), ...sizes),
    ),
    "a persistent id of nothing": asWeight(persistent()),
    "NaN for a weight": asWeight(TENSOR, { a: Buffer.from("0000c07f", "hex") }),
    "infinity for a weight": asWeight(TENSOR, { a: Buffer.from("0000807f", "hex") }),
    "one storage as 3000 layers": sharedLayers(),
    "two storages in turn, 3000 times": alternatingLayers(),
    "3000 expanded layers": expandedLayers(),
    "a legacy stream of 2^52 elements": writeTorchLegacy({
      root: dict({ "actor.0.weight": tensorCode({ key: "a", shape: [1, 1], elements: 2 ** 52 }) }),
      storages: { a: { bytes: ONE, elements: 2 ** 52 } },
    }),
  };
}

/** 360 kB of weights that would be 1 GB of layers. */
function sharedLayers(): Uint8Array {
  const weight = tensorCode({ key: "a", shape: [300, 300] });
  const entries = Array.from({ length: 3000 }, (_, i) => [`actor.${2 * i}.weight`, weight]);
  return writeTorch(dict(Object.fromEntries(entries) as Record<string, Code>), {
    a: new Uint8Array(360_000),
  });
}

/** Layers of a million numbers each, every one of them one number of a storage of its own. */
function expandedLayers(): Uint8Array {
  const keys = Array.from({ length: 3000 }, (_, i) => `${i}`);
  const weight = { shape: [1024, 1024], strides: [0, 0], elements: 1 };
  const entries = keys.map((key, i) => [`actor.${2 * i}.weight`, tensorCode({ ...weight, key })]);
  return writeTorch(
    dict(Object.fromEntries(entries) as Record<string, Code>),
    Object.fromEntries(keys.map((key) => [key, ONE])),
  );
}

/** Small views of two storages of 360 kB, so that each must be read again for the next. */
function alternatingLayers(): Uint8Array {
  const entries = Array.from({ length: 3000 }, (_, i) => {
    const weight = tensorCode({ key: i % 2 === 0 ? "a" : "c", shape: [1, 1], elements: 90_000 });
    return [`actor.${2 * i}.weight`, weight];
  });
  return writeTorch(dict(Object.fromEntries(entries) as Record<string, Code>), {
    a: new Uint8Array(360_000),
    c: new Uint8Array(360_000),
  });
}

/** Archives in which two readers would see two checkpoints, or that unpack to more than memory. */
function archives(): Record<string, Uint8Array> {
  const tree = pickle(dict({ "actor.0.weight": TENSOR }));
  const other = pickle(dict({ "actor.0.weight": NONE }));
  const data = { name: "archive/data/a", data: ONE };
  const zip = (...parts: Part[]): Uint8Array => buildZip([...parts, data]);
  const pkl = { name: "archive/data.pkl", data: tree };
  const zeros = new Uint8Array(200 << 20);
  const big = tensorCode({ key: "z", shape: [1, 50 << 20] });
  const bomb = { name: "archive/data/z", data: zeros, method: 8 };
  const bombTree = { name: "archive/data.pkl", data: pickle(dict({ "actor.0.weight": big })) };
  return {
    "two trees of one name": zip(pkl, { ...pkl, data: other }),
    "two trees of two directories": zip(pkl, { ...pkl, name: "other/data.pkl" }),
    "entries that overlap": zip(pkl, { name: "archive/data/b", data: ONE, headerOffset: 0 }),
    "an entry behind the end": zip(pkl, { name: "archive/x", data: ONE, headerOffset: 1 << 30 }),
    "a name that leaves the archive": zip(pkl, { name: "../../etc/passwd", data: ONE }),
    "an absolute name": zip(pkl, { name: "/etc/passwd", data: ONE }),
    "a name with backslashes": zip(pkl, { name: "archive\\..\\x", data: ONE }),
    "a tree with a false checksum": zip({ ...pkl, crc: 1 }),
    "an encrypted tree": zip({ ...pkl, flags: 1 }),
    "a deflated storage of 200 MB": buildZip([bombTree, bomb]),
    "a deflated tree of 50 MB": buildZip([
      { name: "archive/data.pkl", data: zeros.subarray(0, 50 << 20), method: 8 },
    ]),
    "a deflated SB3 policy of 200 MB": buildZip([
      { name: "data", data: Buffer.from("{}") },
      { name: "policy.pth", data: zeros, method: 8 },
    ]),
    "SB3 data of 100000 brackets": writeZip({
      data: Buffer.from("[".repeat(100_000)),
      "policy.pth": writeTorch(dict({ "action_net.weight": TENSOR }), { a: ONE }),
    }),
    "SB3 data with a prototype": writeZip({
      data: Buffer.from(
        '{"__proto__": {"policy_kwargs": {"activation_fn": "<class \'a.Evil\'>"}}}',
      ),
      "policy.pth": writeTorch(dict({ "action_net.weight": TENSOR }), { a: ONE }),
    }),
    "an SB3 policy that is an SB3 archive": writeZip({
      data: Buffer.from("{}"),
      "policy.pth": writeZip({ "policy.pth": ONE }),
    }),
    "TorchScript of 100000 brackets": script(`${"(".repeat(100_000)}x`),
    "TorchScript that calls itself": script("(self).forward(x, )"),
    "TorchScript that imports": script("__import__('os').system('true')"),
  };
}

/** An archive of torch.jit.save with one method that returns `expression`. */
function script(expression: string): Uint8Array {
  const code =
    "class Policy(Module):\n  def forward(self: __torch__.Policy, x: Tensor) -> Tensor:\n" +
    `    return ${expression}\n`;
  return writeZip({
    "policy/data.pkl": pickle([...global("__torch__", "Policy"), 0x29, 0x81, ...dict({}), 0x62]),
    "policy/constants.pkl": pickle(tuple()),
    "policy/code/__torch__.py": Buffer.from(code),
    "policy/version": Buffer.from("3\n"),
  });
}

/** Very many of something. */
function floods(): Record<string, Uint8Array> {
  const keys = (count: number, name: (i: number) => string): Uint8Array => {
    const pairs = Array.from({ length: count }, (_, i) => [
      ...text(name(i)),
      ...(i === 0 ? [...TENSOR, 0x71, 0] : [0x68, 0]),
    ]);
    return writeTorch([0x7d, 0x28, ...pairs.flat(), 0x75], { a: ONE });
  };
  return {
    "50000 heads": keys(50_000, (i) => `n${i}.mean.weight`),
    "50000 networks": keys(50_000, (i) => `actor.n${i}.0.weight`),
    "50000 layers": keys(50_000, (i) => `actor.${2 * i}.weight`),
    "50000 noises": keys(50_000, (i) => (i === 0 ? "actor.0.weight" : `n${i}.std`)),
    "two keys of a million words": keys(2, (i) => `${"x.".repeat(1_000_000)}y${i}.0.weight`),
    "a key of 4 MB": keys(2, (i) => `${"x.1".repeat(1_400_000)}.${i}.weight`),
    "10000 entries": writeZip({
      "archive/data.pkl": pickle(list()),
      ...Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`archive/data/${i}`, ONE])),
    }),
  };
}
