import { expect, test } from "bun:test";
import { memorySource } from "../../base/files.ts";
import { linesDuring } from "../../base/log_fixture.ts";
import { failureOf, fuzzDecoder } from "../../formats/decoder_fixture.ts";
import { int, list, real } from "../../formats/pickle_fixture.ts";
import { type ScriptArchive, tensorList } from "../../formats/torch_script_fixture.ts";
import { openCheckpoint } from "../checkpoint_file.ts";
import type { Layer } from "../network.ts";
import { detectLayout } from "./detect.ts";
import { readPlan } from "./read_plan.ts";
import { linear, memory, policy, tensor } from "./torchscript_fixture.ts";

async function plan(bytes: Uint8Array) {
  const { root, file } = await openCheckpoint(memorySource(bytes));
  return { file, plan: detectLayout(root, {}) };
}

async function read(bytes: Uint8Array) {
  const found = await plan(bytes);
  const { activation, outputActivation, normalizer } = found.plan;
  const planned = readPlan(found.file, found.plan, {
    activation: activation as "elu",
    outputActivation: outputActivation as "identity",
    normalizerEpsilon: normalizer?.epsilon,
    distribution: undefined,
  });
  return { ...found, ...planned };
}

/** `linear a`, `elu`, … */
function outline(layers: readonly Layer[]): string[] {
  return layers.map((layer) => {
    if (layer.kind === "activation") return layer.activation;
    return "name" in layer ? `${layer.kind} ${layer.name}` : layer.kind;
  });
}

const refusal = (lines: readonly string[], more?: Partial<ScriptArchive>) =>
  failureOf(() => plan(policy(lines, more)));

const ELU = "__torch__.torch.nn.functional.elu";
const MLP = [`y = ${ELU}((self.a).forward(x, ), 1., False, )`, "return (self.b).forward(y, )"];
const A_ELU_B = ["linear a", "elu", "linear b"];

test("TORCHSCRIPT reads a scripted policy with weights, activation and names", async () => {
  const { plan: found, layers, normalizer } = await read(policy(MLP));
  expect([found.layout, found.activation, found.outputActivation]).toEqual([
    "torchscript",
    "elu",
    "identity",
  ]);
  expect(layers).toEqual([
    {
      kind: "linear",
      name: "a",
      inputs: 3,
      outputs: 2,
      weight: Float32Array.of(0, 0.5, 1, 1.5, 2, 2.5),
      bias: Float32Array.of(0, 0.5),
    },
    { kind: "activation", activation: "elu" },
    {
      kind: "linear",
      name: "b",
      inputs: 2,
      outputs: 1,
      weight: Float32Array.of(0, 0.5),
      bias: Float32Array.of(0),
    },
  ]);
  expect(normalizer).toBeUndefined();
});

test("TORCHSCRIPT reads a Linear however torch wrote it", async () => {
  const ways: readonly (readonly string[])[] = [
    ["y = torch.addmm(self.a.bias, x, torch.t(self.a.weight), beta=1, alpha=1)"],
    ["z = torch.matmul(x, torch.t(self.a.weight))", "y = torch.add_(z, self.a.bias, alpha=1)"],
    ["y = torch.add(torch.matmul(x, torch.t(self.a.weight)), self.a.bias, 1)"],
    [
      "if torch.eq(torch.dim(x), 2):",
      "  w = torch.__isnot__(self.a.bias, None)",
      "else:",
      "  w = False",
      "if w:",
      "  y = torch.linear(x, self.a.weight, self.a.bias)",
      "else:",
      "  y = torch.conv1d(x)",
    ],
  ];
  for (const way of ways) {
    const lines = [...way, "return (self.b).forward(torch.elu_(y), )"];
    expect(outline((await read(policy(lines))).layers)).toEqual(A_ELU_B);
  }
});

test("TORCHSCRIPT reads the constants of a frozen policy, transposed ones as well", async () => {
  const lines = [
    "y = torch.tanh(torch.linear(torch.div(torch.sub(x, CONSTANTS.c0), CONSTANTS.c1), CONSTANTS.c2))",
    "return torch.tanh(torch.matmul(y, CONSTANTS.c3))",
  ];
  const constants = [tensor(1, 3), { ...tensor(1, 3), values: Float32Array.of(1, 2, 4) }];
  const bytes = policy(lines, { constants: [...constants, tensor(2, 3), tensor(2, 4)] });
  const { layers, normalizer } = await read(bytes);
  expect(outline(layers)).toEqual(["linear linear.1", "tanh", "linear linear.0", "tanh"]);
  expect(layers[2]).toMatchObject({
    inputs: 2,
    outputs: 4,
    weight: Float32Array.of(0, 2, 0.5, 2.5, 1, 3, 1.5, 3.5),
    bias: new Float32Array(4),
  });
  expect(normalizer).toEqual({
    kind: "normalize",
    mean: Float32Array.of(0, 0.5, 1),
    divisor: Float32Array.of(1, 2, 4),
  });
});

const NORMALIZER = {
  mean: tensor(1, 3),
  spread: { shape: [1, 3], values: Float32Array.of(1, 4, 9) },
};

test("TORCHSCRIPT takes eps and limit of the normalizer from the file", async () => {
  const module = { className: "Policy", attributes: { ...NORMALIZER, eps: real(0.5) } };
  const difference = "d = torch.sub(x, self.mean)";
  const forms = {
    std: "n = torch.div(d, torch.add(self.spread, self.eps))",
    constant: "n = torch.div(d, torch.add(self.spread, CONSTANTS.c0, alpha=1))",
    var: "n = torch.clamp(torch.div(d, torch.sqrt(torch.add(self.spread, 0.25))), -5., 5.)",
  };
  const constants = [{ shape: [], values: Float32Array.of(0.5) }];
  const found = await Promise.all(
    Object.values(forms).map(async (form) => {
      const lines = [difference, form, ...MLP.map((line) => line.replace("(x, )", "(n, )"))];
      const {
        plan: { normalizer: planned },
        normalizer,
        layers,
      } = await read(policy(lines, { module, constants }));
      expect(outline(layers)).toEqual(A_ELU_B);
      return [planned?.form, planned?.epsilon, planned?.isInFile, normalizer];
    }),
  );
  const std = Float32Array.of(1.5, 4.5, 9.5);
  const var_ = Float32Array.of(1.25, 4.25, 9.25).map(Math.sqrt);
  const layer = { kind: "normalize", mean: Float32Array.of(0, 0.5, 1) };
  expect<unknown>(found).toEqual([
    ["std", 0.5, true, { ...layer, divisor: std }],
    ["std", 0.5, true, { ...layer, divisor: std }],
    ["var", 0.25, true, { ...layer, divisor: var_, limit: 5 }],
  ]);
});

const LSTM = [
  "rnn = self.rnn",
  "h = self.hidden_state",
  "r, h1, c1, = torch.lstm(torch.unsqueeze(x, 0), [h, self.cell_state], rnn.flat, True, 1, 0., self.training, False, False)",
  "_1 = torch.copy_(torch.slice(self.hidden_state), h1)",
  "_2 = torch.copy_(torch.slice(self.cell_state, 0, 0, 9223372036854775807, 1), c1, False)",
  "return (self.b).forward(torch.squeeze(r, 0), )",
];

test("TORCHSCRIPT reads a memory whose state is kept in buffers", async () => {
  const { layers } = await read(policy(LSTM, memory(4)));
  expect(outline(layers)).toEqual(["recurrent rnn", "linear b"]);
  expect(layers[0]).toMatchObject({
    cell: "lstm",
    hidden: 2,
    stack: [{ inputs: 3, weightIh: tensor(8, 3).values, biasHh: tensor(8).values }],
  });
  const gru = [
    "r, h1, = torch.gru(torch.unsqueeze(x, 0), self.hidden_state, self.rnn.flat, True, 1, 0., False, False, False)",
    "_1 = torch.copy_(torch.slice(self.hidden_state), h1)",
    "return (self.b).forward(torch.squeeze(r, 0), )",
  ];
  const { layers: others } = await read(policy(gru, memory(3)));
  expect(others[0]).toMatchObject({ kind: "recurrent", cell: "gru", hidden: 2 });
});

test("TORCHSCRIPT says that a saved state is not where an episode starts", async () => {
  expect(await linesDuring(() => read(policy(LSTM, memory(4, 0.5))))).toEqual([
    "its saved hidden_state is not zero; an episode starts from zero here",
    "its saved cell_state is not zero; an episode starts from zero here",
  ]);
});

test("TORCHSCRIPT refuses a memory that does not keep its state as it is", async () => {
  const state = "does not come from buffers that it goes back into";
  const cases: readonly (readonly [RegExp | string, string, string])[] = [
    ["_2 = ", "_3 = None # ", state],
    ["_1 = torch.copy_(torch.slice(self.hidden_state), h1)", "_1 = None", state],
    ["h1)", "c1)", state],
    ["h1)", "torch.mul(h1, 0.5))", state],
    ["h = self.hidden_state", "h = torch.zeros([1, 1, 2])", state],
    ["False, False)", "False, True)", "is bidirectional or batch_first"],
    ["0., self.training", "0.5, True", "drops out in training mode"],
    ["True, 1, 0.", "True, 2, 0.", "of 2 layers has 4 weights"],
    ["x, 0)", "x, 1)", "squeeze of what item gives, 0 is no part of a policy"],
    ["slice(self.hidden_state)", "slice(self.hidden_state, 0, 1)", "torch.slice is not understood"],
  ];
  for (const [from, to, message] of cases) {
    const lines = LSTM.map((line) => line.replace(from, to));
    expect(await refusal(lines, memory(4))).toEqual({
      code: "UNSUPPORTED",
      message: expect.stringContaining(message) as unknown as string,
    });
  }
});

const HALVES = "p = torch.unflatten((self.a).forward(x, ), -1, [2, 1])";
const BETA = [
  HALVES,
  "r, s, = torch.unbind(p, -2)",
  "m = torch.add(torch.softplus(r), 1.)",
  "n = torch.add(torch.softplus(s), 1.)",
  "return torch.add(torch.mul(torch.div(m, torch.add(m, n)), 2.), -1.)",
];

test("TORCHSCRIPT reads the distributions of rsl_rl, the range of a Beta included", async () => {
  const gaussian = await read(policy([HALVES, "return torch.select(p, -2, 0)"]));
  expect(gaussian.layers.slice(1)).toEqual([
    { kind: "distribution", distribution: "gaussian", size: 1 },
  ]);
  const beta = await read(policy(BETA));
  const distribution = { kind: "distribution", distribution: "beta", size: 1 };
  expect<unknown>(beta.layers.slice(1)).toEqual([distribution]);
  const wide = await read(policy(BETA.map((line) => line.replace("2.), -1.", "5.), -2."))));
  expect<unknown>(wide.layers.slice(1)).toEqual([
    distribution,
    { kind: "affine", scale: Float32Array.of(2.5), offset: Float32Array.of(0.5) },
  ]);
  const swapped = BETA.map((line) => line.replace("r, s, =", "s, r, ="));
  expect((await refusal(swapped)).message).toContain("is no part of a policy");
});

test("TORCHSCRIPT keeps different activations and one used twice apart", async () => {
  const lines = [
    "y = torch.elu((self.a).forward(x, ))",
    "z = torch.tanh((self.c).forward(y, ))",
    "return torch.relu((self.c).forward(z, ))",
  ];
  const module = { className: "Policy", attributes: { c: linear(2, 2) } };
  const steps = ["linear a", "elu", "linear c.use1", "tanh", "linear c", "relu"];
  const notices = await linesDuring(async () => {
    expect(outline((await read(policy(lines, { module }))).layers)).toEqual(steps);
  });
  expect(notices).toEqual(["the activations are elu, tanh, in this order"]);
});

test("TORCHSCRIPT refuses by name what is no part of a policy", async () => {
  const b = "return (self.b).forward(y, )";
  const at = "code/__torch__.py, line 4:";
  const cases: readonly (readonly [readonly string[], string])[] = [
    [["y = torch.celu((self.a).forward(x, ), 2.)", b], `${at} celu has the constant 2, need 1`],
    [['y = torch.gelu((self.a).forward(x, ), approximate="tanh")', b], "tanh, need none"],
    [["y = torch.conv1d(x, self.a.weight)", b], `${at} torch.conv1d is not understood`],
    [["y = ops.mine.add(x)", b], "ops.mine.add is not understood"],
    [["y = torch.addmm(self.a.bias, x, torch.t(self.a.weight), 2)", b], "addmm of "],
    [["y = torch.addmm(self.a.bias, x, torch.t(self.a.weight), beta=2)", b], "with beta 2"],
    [["y = torch.mul((self.a).forward(x, ), 2.)", b], `${at} mul of what linear gives, 2 is no`],
    [["y = torch.add(x, (self.a).forward(x, ))", b], "add of what observation gives, what linear"],
    [["y = (self.a).forward(torch.sub(x, self.a.bias), )", b], "sub of what observation gives"],
    [["y = (self.d).forward(x, )", b], 'there is no "d" in the tree of modules'],
    [["y = (self.a).backward(x, )", b], "no code of __torch__.torch.nn.modules.linear.Linear.back"],
    [["y = __torch__.f(x)", b], "__torch__.f is not understood"],
    [["y = (self.a).forward(x, )", "z = torch.relu_(y)", b], "is used again after it was overwri"],
    [["z = torch.relu_(self.a.weight)", ...MLP], 'torch.relu_ writes into "a.weight"'],
    [["z = torch.copy_(self.c.bias, x)", ...MLP], 'forward writes into "c.bias"'],
    [["z = torch.copy_(self.a.bias, x)", ...MLP], 'py, line 8: "a.bias" is used again after it'],
    [["if torch.gt(torch.size(x, 1), 2):", "  y = x", ...MLP], "depends on torch.gt, need"],
    [['ops.prim.RaiseException("no")', ...MLP], "forward raises an error"],
    [["return (x, x)"], "forward gives 2 values, need one tensor, the action"],
    [["return self.a.bias"], 'forward gives "a.bias", need one tensor, the action'],
    [["return torch.tanh(x)"], "forward has no Linear layer"],
    [
      ["y = __torch__.torch.nn.functional.dropout((self.a).forward(x, ), 0.5, True, )", b],
      "torch.dropout in training mode, need a module saved after eval()",
    ],
  ];
  const module = { className: "Policy", attributes: { c: linear(2, 2) } };
  for (const [lines, message] of cases) {
    expect(await refusal(lines, { module })).toEqual({
      code: "UNSUPPORTED",
      message: expect.stringContaining(message) as unknown as string,
    });
  }
});

test("TORCHSCRIPT keeps the constants of elu and leaky_relu", async () => {
  const code = ["y = torch.elu((self.a).forward(x, ), 0.5, 1, 1)", "z = (self.b).forward(y, )"];
  const { layers } = await read(policy([...code, "return torch.leaky_relu(z, 0.2)"]));
  expect(outline(layers)).toEqual(["linear a", "elu(0.5)", "linear b", "leaky_relu(0.2)"]);
});

test("TORCHSCRIPT refuses code that would take long", async () => {
  const endless = ["return (self).forward(x, )"];
  const lists = Array.from({ length: 60 }, (_, i) => `y${i + 1} = [${`y${i}, `.repeat(50)}]`);
  const doubled = ["y0 = x", ...lists, "return y60"];
  const failures = await Promise.all([
    refusal(endless),
    refusal(doubled),
    refusal(Array.from({ length: 30_000 }, () => "y = torch.tanh(x)")),
  ]);
  expect(failures.map(({ message }) => message)).toEqual([
    "calls are nested deeper than 100",
    "forward gives 50 values, need one tensor, the action",
    "the code takes more than 20000 steps",
  ]);
});

test("detectLayout() names the class of a script that another layout was asked for", async () => {
  const { root } = await openCheckpoint(memorySource(policy(MLP)));
  expect((await failureOf(() => detectLayout(root, { layout: "rsl_rl" }))).message).toStartWith(
    'it holds a TorchScript module of "__torch__.Policy", which is no layout known, need ',
  );
});

test("readPlan() refuses a --distribution that the file contradicts", async () => {
  const { file, plan: found } = await plan(policy(MLP));
  const hints = { activation: "elu", outputActivation: "identity", normalizerEpsilon: 0 } as const;
  expect(() => readPlan(file, found, { ...hints, distribution: "beta" })).toThrow(
    "Cannot use --distribution beta: the file says none, leave it out",
  );
});

test("TORCHSCRIPT gives a plan or FormatError for any damaged code", async () => {
  const attempt = async (code: Uint8Array): Promise<void> => {
    const lines = Buffer.from(code).toString("latin1").split("\n");
    await read(policy(lines, memory(4)));
  };
  await linesDuring(async () => {
    await fuzzDecoder(Buffer.from(LSTM.join("\n")), attempt, { cases: 500 });
    await fuzzDecoder(Buffer.from(BETA.join("\n")), attempt, { cases: 500, seed: 2 });
    await fuzzDecoder(policy(LSTM, memory(4)), read, { cases: 300, seed: 3 });
  });
});

test("TORCHSCRIPT takes a list of sizes for no tensor", async () => {
  const attributes = { sizes: tensorList(list(...Array.from({ length: 2000 }, () => int(1)))) };
  const lines = ["y = torch.linear(x, self.sizes, None)", "return y"];
  const refused = await refusal(lines, { module: { className: "Policy", attributes } });
  expect(refused.message).toContain('linear of what observation gives, "sizes", null is no part');
});
