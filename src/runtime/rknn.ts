/**
 * A .rknn on the NPU, through librknnrt in this very process. The library may crash or hang, so
 * that verbs open it by `isolated.ts`, which runs this in a process of its own.
 *
 * The evidence is `npu` for the vendor's library and `double` for the test double, which says so
 * by a function that only it has and by its version.
 */

import { CORE_MASK, type Core, INIT_FLAG } from "../../ffi/rknn_api.ts";
import { NativeError, RknnContext, type RknnLibrary } from "../../ffi/rknn_library.ts";
import { assert, present } from "../base/assert.ts";
import { FormatError, Lite3Error } from "../base/errors.ts";
import { createRandom } from "../base/random.ts";
import { parseRknn, type RknnFile } from "../formats/rknn.ts";
import { type Backend, type PolicyState, tensorSpec } from "./backend.ts";
import { NotFiniteError } from "./not_finite.ts";
import { findDeviceFault, readSoc, type Soc } from "./rknn_device.ts";
import { type IoPath, openFloatPath, openZeroCopyPath } from "./rknn_paths.ts";
import { type NpuTensors, readTensors } from "./rknn_tensors.ts";

export const IO_KINDS = ["auto", "float", "zero-copy"] as const;
export type IoKind = (typeof IO_KINDS)[number];

export interface RknnOptions {
  readonly core: Core;
  /** `auto`: the faster of the two, measured; they must agree to the last bit. */
  readonly io: IoKind;
}

export interface RknnBackend extends Backend {
  readonly io: IoPath["kind"];
  /** As the library tells them. */
  readonly versions: { readonly api: string; readonly driver: string };
  /** Microseconds of the last row: inputs set, run, outputs fetched. */
  readonly timesUs: Float64Array;
}

/** Inferences by which the two paths are compared, on numbers such as observations have. */
const PROBES = 32;

/**
 * Opens a model from the bytes of its file. Throws FormatError for a file that is broken, for
 * another SoC or no policy, NativeError for what the library or the machine refuses.
 */
export function openRknn(
  library: RknnLibrary,
  bytes: Uint8Array,
  options: RknnOptions,
): RknnBackend {
  // The library ends the process on some broken files: none gets to it unchecked.
  const file = parseRknn(bytes);
  const soc = readSoc();
  checkPlatform(file, soc);
  const load = (kind: IoPath["kind"]) => loadModel(library, bytes, file, soc, options.core, kind);
  const model = chooseModel(load, options.io);
  const versions = model.context.versions();
  const isDouble = library.double !== undefined || /double/i.test(versions.api);
  return createBackend(model, versions, isDouble);
}

/** Throws UNSUPPORTED for a file that was converted for another SoC. */
export function checkPlatform(file: RknnFile, soc: Soc): void {
  const platforms = file.document.target_platform.map((name) => name.toLowerCase());
  if (platforms.includes(soc.name)) return;
  throw new FormatError(
    `it was converted for ${platforms.join(", ")}, but this is ${soc.name}, need one converted ` +
      `with --target ${soc.name}`,
    "UNSUPPORTED",
  );
}

interface Model extends Disposable {
  readonly context: RknnContext;
  readonly tensors: NpuTensors;
  readonly path: IoPath;
  readonly timesUs: Float64Array;
  /** Runs one row and its state; both outputs stay in `path`. */
  run(observation: Float32Array, state: PolicyState): void;
}

function loadModel(
  library: RknnLibrary,
  bytes: Uint8Array,
  file: RknnFile,
  soc: Soc,
  core: Core,
  kind: IoPath["kind"],
): Model {
  const context = createContext(library, bytes);
  try {
    if (soc.cores > 1) context.setCoreMask(CORE_MASK[core]);
    const tensors = readTensors(context, file);
    const open = kind === "float" ? openFloatPath : openZeroCopyPath;
    const path = open(context, tensors);
    const [inputs, timesUs] = [inputOrder(tensors), new Float64Array(3)];
    return {
      context,
      tensors,
      path,
      timesUs,
      run(observation, { tensors: states }) {
        const started = Bun.nanoseconds();
        path.write(inputs.observation, observation);
        for (let i = 0; i < states.length; i++) {
          path.write(present(inputs.states[i]), present(states[i]));
        }
        path.set();
        const set = Bun.nanoseconds();
        context.run();
        const ran = Bun.nanoseconds();
        path.get();
        timesUs[0] = (set - started) / 1000;
        timesUs[1] = (ran - set) / 1000;
        timesUs[2] = (Bun.nanoseconds() - ran) / 1000;
      },
      [Symbol.dispose]: () => context[Symbol.dispose](),
    };
  } catch (error) {
    context[Symbol.dispose]();
    throw error;
  }
}

/** Loads the model; the library's one status for every fault of the machine becomes a reason. */
function createContext(library: RknnLibrary, bytes: Uint8Array): RknnContext {
  try {
    return new RknnContext(library, bytes, INIT_FLAG.DISABLE_PROC_HIGH_PRIORITY);
  } catch (error) {
    const isUnexplained = error instanceof NativeError && error.status === -1;
    const fault = isUnexplained && library.double === undefined ? findDeviceFault() : undefined;
    if (fault === undefined) throw error;
    throw new NativeError("rknn_init", -1, fault);
  }
}

function inputOrder({ inputs, shape }: NpuTensors) {
  const indexOf = (name: string): number => inputs.findIndex((input) => input.name === name);
  const { input, state } = shape;
  return { observation: indexOf(input.name), states: state.map((spec) => indexOf(spec.input)) };
}

function outputOrder({ outputs, shape }: NpuTensors) {
  const indexOf = (name: string): number => outputs.findIndex((output) => output.name === name);
  const { output, state } = shape;
  return { action: indexOf(output.name), states: state.map((spec) => indexOf(spec.output)) };
}

/** The model with the path that was asked for, or with the faster one. */
function chooseModel(load: (kind: IoPath["kind"]) => Model, io: IoKind): Model {
  const float = load("float");
  // A state goes in and out as it is; its layout inside is the library's affair.
  if (io === "float" || float.tensors.shape.state.length > 0) {
    if (io !== "zero-copy") return float;
    float[Symbol.dispose]();
    throw new FormatError("it is recurrent, which needs --io float", "UNSUPPORTED");
  }
  let direct: Model | undefined;
  try {
    direct = load("zero-copy");
    const measured = compareModels(float, direct);
    if (io === "zero-copy" && !measured.agree) {
      throw new Lite3Error(
        "NATIVE",
        "Cannot use zero-copy memory: the NPU gives other actions than with --io float",
      );
    }
    const isTaken = measured.agree && (io === "zero-copy" || measured.directUs < measured.floatUs);
    const [taken, left] = isTaken ? [direct, float] : [float, direct];
    left[Symbol.dispose]();
    return taken;
  } catch (error) {
    direct?.[Symbol.dispose]();
    if (io === "auto" && direct === undefined && error instanceof Lite3Error) return float;
    float[Symbol.dispose]();
    throw error;
  }
}

/** Medians of whole inferences, and whether all actions are the same to the last bit. */
function compareModels(float: Model, direct: Model) {
  const random = createRandom(1);
  const observation = new Float32Array(float.tensors.shape.observationSize);
  const models = [float, direct].map((model) => ({
    model,
    action: outputOrder(model.tensors).action,
    tookUs: new Float64Array(PROBES),
  }));
  let agree = true;
  for (let probe = 0; probe < PROBES; probe++) {
    for (let i = 0; i < observation.length; i++) observation[i] = random.between(-2, 2);
    const [one, two] = models.map(({ model, action, tookUs }) => {
      model.run(observation, { tensors: [] });
      tookUs[probe] = model.timesUs.reduce((sum, us) => sum + us, 0);
      return model.path.read(action);
    });
    agree &&= present(one).every((value, i) => value === present(two)[i]);
  }
  const [floatUs, directUs] = models.map(({ tookUs }) => present(tookUs.sort()[PROBES >> 1]));
  return { agree, floatUs: present(floatUs), directUs: present(directUs) };
}

function createBackend(
  model: Model,
  versions: RknnBackend["versions"],
  isDouble: boolean,
): RknnBackend {
  const { path, tensors, timesUs } = model;
  const { input, output, observationSize, actionSize, state: states } = tensors.shape;
  const order = outputOrder(tensors);
  let scratch = new Float32Array(actionSize);
  let open = true;
  const infer: Backend["infer"] = (observation, action, state, rows) => {
    assert(open, "the backend is closed");
    assert(observation.length === rows * observationSize, "observation length");
    assert(action.length === rows * actionSize, "action length");
    assert(state.tensors.length === states.length, "a state of another backend");
    assert(rows === 1 || states.length === 0, "a recurrent policy acts one row at a time");
    checkObservation(observation);
    if (scratch.length < action.length) scratch = new Float32Array(action.length);
    for (let row = 0; row < rows; row++) {
      const from = row * observationSize;
      model.run(
        rows === 1 ? observation : observation.subarray(from, from + observationSize),
        state,
      );
      const values = path.read(order.action);
      checkOutput("action", values);
      scratch.set(values, row * actionSize);
    }
    for (let i = 0; i < states.length; i++) {
      checkOutput("state", path.read(present(order.states[i])));
    }
    // Only now, with every row and every number there.
    for (let i = 0; i < action.length; i++) action[i] = present(scratch[i]);
    for (let i = 0; i < states.length; i++) {
      present(state.tensors[i]).set(path.read(present(order.states[i])));
    }
  };
  return {
    name: "rknn",
    arithmetic: isDouble ? "double" : "npu",
    subject: "file",
    io: path.kind,
    versions,
    timesUs,
    inputs: Object.freeze([tensorSpec(input.name, [1, observationSize])]),
    outputs: Object.freeze([tensorSpec(output.name, [1, actionSize])]),
    observationSize,
    actionSize,
    createState: () => ({
      tensors: states.map(({ shape }) => new Float32Array(shape.reduce((a, b) => a * b, 1))),
    }),
    infer,
    [Symbol.dispose]() {
      open = false;
      model[Symbol.dispose]();
    },
  };
}

/** int8 has no NaN: an observation with one would become a plausible action. */
function checkObservation(values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (Number.isNaN(values[i])) {
      throw new Lite3Error("MALFORMED", `Cannot act: observation[${i}] is NaN, need numbers`);
    }
  }
}

function checkOutput(what: string, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (!Number.isFinite(values[i])) {
      throw new NotFiniteError(
        `Cannot act: the NPU gave ${values[i]} as ${what}[${i}], need finite numbers`,
      );
    }
  }
}
