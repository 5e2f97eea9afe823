"""Runs rknn-toolkit2 for lite3rl: python -I driver.py job.json, in a private working directory.

stdout carries JSON lines, one per stage that begins ({"stage": "build"}) and at last one result;
whatever the toolkit prints, natively or not, goes to stderr. The toolkit raises whole tracebacks,
returns -1, returns None or calls exit(): each becomes a result with a word for what went wrong.
Nothing here may touch a board: list_devices() and every target= start an adb daemon.
"""

import ctypes
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import re
import sys
import time
import traceback
import types

ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL: no toolkit outlives who asked for it
# A descriptor for results alone: native code prints to number 1.
RESULTS = os.fdopen(os.dup(1), "w", encoding="utf-8")
os.dup2(2, 1)

# What the toolkit says, and what it means. The first match counts.
MEANINGS = [
    (r"Unsupport onnx opset \d+, need <= \d+", "opset-too-new"),
    (r"is not support!\s+Please set the 'inputs'", "dynamic-shape"),
    (r"extension of .* is not '\.onnx'", "bad-extension"),
    (r"No Op registered|INVALID_GRAPH", "unsupported-op"),
    (r"Invalid target_platform|not support in 'rk|not support(?:ed)? .*target", "bad-target"),
    (r"Invalid (?:quantized|float)_dtype|quantized_algorithm|quantized_method", "bad-option"),
    (r"is not support! Maybe you mean|is not support!|unexpected keyword argument", "bad-option"),
    (r"input shape .* is wrong, expect", "dataset-shape"),
    (r"input num: 0", "dataset-empty"),
    (r"cannot convert float NaN", "dataset-nan"),
    (r"Unsupport file", "dataset-format"),
    (r"Errno (?:13|21|28|30)\b", "write-failed"),
    (r"not exists!|No such file or directory|not found!", "missing-file"),
    (r"DecodeError|list index out of range", "corrupt-onnx"),
    (r"ModuleNotFoundError|No module named|ImportError", "toolkit-env"),
]


class Failure(Exception):
    """A failure that the toolkit itself did not raise."""

    def __init__(self, failure, message):
        super().__init__(message)
        self.failure = failure


class TorchStub(types.ModuleType):
    """Stands in for torch, which the toolkit imports and needs for nothing that is done here."""

    __path__ = []
    __version__ = "0"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "no_grad":
            return lambda *_args, **_options: lambda function: function
        return type(name, (), {})


class TorchFinder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] != "torch":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return TorchStub(spec.name)

    def exec_module(self, module):
        pass


class Stages:
    """Where the job is, and how long each stage took."""

    def __init__(self):
        self.current = "start"
        self.seconds = {}

    def run(self, name, act):
        self.current = name
        say({"stage": name})
        begun = time.monotonic()
        value = act()
        self.seconds[name] = round(time.monotonic() - begun, 3)
        return value

    def call(self, name, act, good=(0,)):
        """A toolkit call: it returns 0, or -1 with the reason in its log only."""
        value = self.run(name, act)
        if value not in good:
            raise Failure("rc", f"{name} returned {value!r}")


def say(document):
    RESULTS.write(json.dumps(document) + "\n")
    RESULTS.flush()


def load_toolkit():
    if importlib.util.find_spec("torch") is None:
        sys.meta_path.append(TorchFinder())
    import rknn.api

    return rknn.api.RKNN


def versions():
    from importlib import metadata

    names = ("rknn-toolkit2", "onnx", "onnxruntime", "numpy", "protobuf")
    found = {name: metadata.version(name) for name in names}
    torch = sys.modules.get("torch")
    found["python"] = sys.version.split()[0]
    found["torch"] = "stub" if torch is None or isinstance(torch, TorchStub) else torch.__version__
    return found


def convert(job, stages):
    """One job from ONNX to .rknn; returns what the result says beside the times."""
    make = stages.run("import", load_toolkit)
    config = {"target_platform": job["target"], **job.get("config", {})}
    toolkit = make(verbose=False)
    stages.call("config", lambda: toolkit.config(**config), (0, None))
    model, dataset = os.path.abspath(job["model"]), job.get("dataset")
    if dataset is not None:
        dataset = os.path.abspath(dataset)
    stages.call("load", lambda: toolkit.load_onnx(model))
    done = {}
    layers = job.get("float16_layers")
    if layers is None:
        quantize = bool(job.get("quantize"))
        stages.call("build", lambda: toolkit.build(do_quantization=quantize, dataset=dataset))
    else:
        toolkit, done["layers"] = build_hybrid(make, toolkit, model, dataset, layers, stages)
    if job.get("samples") is not None:
        stages.call("init_runtime", toolkit.init_runtime)
        stages.run("simulate", lambda: simulate(toolkit, model, job["samples"]))
    output = os.path.abspath(job["output"])
    stages.call("export", lambda: toolkit.export_rknn(output))
    if not os.path.isfile(output) or os.path.getsize(output) == 0:
        raise Failure("wrote-nothing", f"nothing is in {os.path.basename(output)}")
    toolkit.release()
    return done


def build_hybrid(make, toolkit, model, dataset, names, stages):
    """int8 with some layers in float16: the toolkit's layer list is edited as text, since it
    refuses one whose numbers were printed anew."""
    stages.call("hybrid1", lambda: toolkit.hybrid_quantization_step1(dataset=dataset))
    toolkit.release()
    stem = os.path.splitext(os.path.basename(model))[0]
    with open(f"{stem}.quantization.cfg", encoding="utf-8") as file:
        text = file.read()
    layers = layers_of(model, names, re.findall(r"^ {4}(\S.*):$", text, re.MULTILINE))
    lines = "".join(f"    {layer}: float16\n" for layer in layers)
    empty = "custom_quantize_layers: {}\n"
    if empty not in text:
        raise Failure("toolkit-error", "the quantization cfg has no empty custom_quantize_layers")
    if layers:
        text = text.replace(empty, f"custom_quantize_layers:\n{lines}", 1)
    with open("hybrid.cfg", "w", encoding="utf-8") as file:
        file.write(text)
    toolkit = make(verbose=False)
    stages.call(
        "hybrid2",
        lambda: toolkit.hybrid_quantization_step2(f"{stem}.model", f"{stem}.data", "hybrid.cfg"),
    )
    return toolkit, layers


ACTIVATIONS = {"Elu", "Relu", "LeakyRelu", "Tanh", "Sigmoid", "Softplus", "HardSwish", "Mish"}
PRODUCTS = {"Gemm", "MatMul"}
SUFFIXES = r"(?:[-_](?:mm|rs|tp|int8))"


def layers_of(model, names, known):
    """The toolkit's layers for ONNX node outputs. It calls the layers of output X "X", "X_mm",
    "X-rs" and the like. What is computed together is set together: a product, its Add and
    activation, and before the first product what turns the observation into its input: an
    observation rounded to int8 first would spoil what float16 is there for."""
    import onnx

    graph = onnx.load(model).graph
    makers = {output: node for node in graph.node for output in node.output}
    inputs = {value.name for value in graph.input}
    borders = inputs | {value.name for value in graph.output}

    def layers_named(output):
        return [
            layer
            for layer in known
            if layer not in borders and re.fullmatch(re.escape(output) + SUFFIXES + "*", layer)
        ]

    groups = {}
    for node in graph.node:
        before = [one for one in node.input if one in makers or one in inputs]
        joined = [groups[one] for one in before if one in groups]
        follows = node.op_type in ACTIVATIONS | {"Add"} and len(joined) == 1
        if follows and makers[joined[0][-1]].op_type in PRODUCTS | {"Add"}:
            group = joined[0]
        elif node.op_type in PRODUCTS:
            group = leading(before, makers, inputs)
        else:
            group = []
        for output in node.output:
            group.append(output)
            groups[output] = group
    missing = [name for name in names if not any(layers_named(o) for o in groups.get(name, []))]
    if missing:
        there = [output for output in groups if layers_named(output)]
        raise Failure("unknown-layer", f"{', '.join(missing)}; there are: {', '.join(there)}")
    chosen = [layer for name in names for one in groups[name] for layer in layers_named(one)]
    return list(dict.fromkeys(chosen))


def leading(names, makers, inputs):
    """The way from the model's input to these values, where nothing but arithmetic lies on it."""
    way = []
    for name in names:
        while name in makers and makers[name].op_type in {"Sub", "Div", "Mul", "Add", "Clip"}:
            way.append(name)
            name = next((one for one in makers[name].input if one in makers or one in inputs), "")
        if name not in inputs:
            return []
        way.append(name)
    return way[::-1]


def simulate(toolkit, model, samples):
    """Rows one after the other, since every build has batch 1; state goes from row to row."""
    import numpy as np
    import onnx

    graph = onnx.load(model).graph
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value.name for value in graph.input if value.name not in constants]
    outputs = [value.name for value in graph.output]
    observations = np.load(samples["observations"])
    feeds = {one["input"]: np.zeros(one["shape"], observations.dtype) for one in samples["state"]}
    actions = []
    for row in observations:
        feeds[samples["input"]] = row[np.newaxis]
        answers = toolkit.inference([feeds[name] for name in inputs], data_format="nchw")
        if answers is None:
            raise Failure("sim", "inference returned nothing")
        answer = dict(zip(outputs, answers))
        actions.append(np.asarray(answer[samples["output"]], np.float32).reshape(-1))
        for one in samples["state"]:
            state = np.asarray(answer[one["output"]], np.float32)
            feeds[one["input"]] = state.reshape(one["shape"])
    values = np.stack(actions)
    if not np.isfinite(values).all():
        raise Failure("sim-nonfinite", "the simulator's output has NaN or infinity")
    np.save(samples["actions"], values)


def failure_of(error, stage):
    """What went wrong, as a word and in the toolkit's own last lines."""
    if isinstance(error, SystemExit):
        return "exit", f"the toolkit called exit({error.code})"
    text = str(error).strip()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    is_mark = re.compile(r"[\w.]*(?:Error|Exception|Fail)\b").match
    marks = [i for i, line in enumerate(lines) if is_mark(line)]
    words = shorten(" ".join(lines[marks[-1] if marks else max(0, len(lines) - 3) :]))
    if isinstance(error, Failure):
        return error.failure, text
    if stage == "export":
        return "write-failed", words
    whole = f"{type(error).__name__}: {text}"
    found = next((word for rule, word in MEANINGS if re.search(rule, whole)), "toolkit-error")
    if found == "missing-file" and stage in ("build", "hybrid1"):
        found = "dataset-missing"
    if found == "corrupt-onnx" and stage != "load":
        found = "toolkit-error"
    return found, words or whole


def shorten(words):
    """What matters stands at the beginning or at the end, never within a long list."""
    return words if len(words) <= 500 else f"{words[:250]} … {words[-250:]}"


def main():
    stages = Stages()
    begun = time.monotonic()
    result = {}
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            job = json.load(file)
        result = {"ok": True, **convert(job, stages), "versions": versions()}
    except BaseException as error:  # the toolkit calls exit() too
        traceback.print_exc()
        failure, message = failure_of(error, stages.current)
        result = {"ok": False, "failure": failure, "stage": stages.current, "message": message}
    result["stages"] = stages.seconds
    result["seconds"] = round(time.monotonic() - begun, 3)
    say({"result": result})
    sys.stderr.flush()
    # Without the interpreter's end: native threads and atexit handlers can only harm the result.
    os._exit(0 if result["ok"] else 1)


main()
