"""Values of a user's program as one row of float32, and back; the user's words by name."""

import array
import difflib
import faulthandler
import fcntl
import importlib
import inspect
import json
import os
import random
import signal
import socket
import struct
import sys
import traceback

try:
    import numpy
except ImportError:
    numpy = None

CHANNEL, FAULTS = 3, 4
F_SETSIG = 10  # asm-generic/fcntl.h; Python names it only from 3.9 on
OURS = ("<string>", "<frozen importlib._bootstrap>", "<frozen importlib._bootstrap_external>")


class Refused(Exception):
    """What the user's program is or gave cannot be used; `kind` is the error's code."""

    def __init__(self, kind, reason):
        Exception.__init__(self, reason)
        self.kind = kind


def plain(value):
    """numpy and torch values as Python's own numbers and lists."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return value.tolist() if hasattr(value, "tolist") else value


def shape_of(value):
    shape = []
    while isinstance(value, (list, tuple)):
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def vector(value, size, what):
    """One row of numbers as float32; `size` None takes any width. A batch of one is squeezed."""
    if isinstance(value, dict):
        keys = ", ".join(map(str, value))
        raise Refused(
            "UNSUPPORTED",
            "%s is a dict (%s), need one vector; flatten it, for example with "
            "gymnasium.wrappers.FlattenObservation" % (what, keys),
        )
    row = plain(value)
    shape = shape_of(row)
    if len(shape) == 2 and shape[0] == 1:
        row = row[0]
    elif len(shape) == 0 and size == 1:
        row = [row]
    elif len(shape) != 1:
        name = type(value).__name__ if not shape else "shape %s" % shape
        raise Refused("PROGRAM", "%s is of %s, need %s numbers" % (what, name, size or "N"))
    if size is not None and len(row) != size:
        raise Refused("PROGRAM", "%s is of shape %s, need %d numbers" % (what, shape, size))
    try:
        return array.array("f", row)
    except (TypeError, OverflowError) as error:
        raise Refused("PROGRAM", "%s holds no numbers: %s" % (what, error))


def single(value, what):
    """A number or flag; batches of one are unwrapped."""
    value = plain(value)
    while isinstance(value, (list, tuple)) and len(value) == 1:
        value = value[0]
    if not isinstance(value, (bool, int, float)):
        raise Refused("PROGRAM", "%s is %s, need one number" % (what, type(value).__name__))
    return value


def given(row, shape):
    """Numbers for the user's program, in the shape of its space."""
    if numpy is None:
        return list(row) if len(shape) < 2 else [list(row)]
    return numpy.array(row, dtype=numpy.float32).reshape(shape)


def box(owner, name):
    """(space, shape, size) of a Box; all None where there is no such space."""
    space = find(owner, name)
    if space is None:
        return None, None, None
    kind = type(space).__name__
    shape = getattr(space, "shape", None)
    is_box = kind == "Box" or (shape is not None and hasattr(space, "low"))
    if not is_box or hasattr(space, "nvec"):
        hint = "; flatten it, for example with gymnasium.wrappers.FlattenObservation"
        raise Refused(
            "UNSUPPORTED",
            "its %s is %s, need a Box%s" % (name, kind, hint if kind in ("Dict", "Tuple") else ""),
        )
    shape = tuple(shape)
    if len(shape) == 2 and shape[0] > 1:
        raise Refused(
            "UNSUPPORTED",
            "its %s has shape %s, a batch of %d environments; make one" % (name, shape, shape[0]),
        )
    if len(shape) not in (1, 2):
        raise Refused("UNSUPPORTED", "its %s has shape %s, need one vector" % (name, shape))
    return space, shape, shape[-1]


def find(owner, *names):
    """The first of these attributes of an environment, or of what its wrappers wrap."""
    for place in (owner, getattr(owner, "unwrapped", None)):
        for name in names:
            value = getattr(place, name, None)
            if value is not None:
                return value
    return None


def load(program):
    """`module.path:name`, or the name in a file of Python."""
    module, path, name = program["module"], program.get("path"), program["name"]
    if path is not None:
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
        if not os.path.exists(path):
            raise Refused("NOT_FOUND", "there is no such file")
    try:
        value = importlib.import_module(module)
    except ImportError as error:
        missing = getattr(error, "name", None)
        if missing is not None and (module + ".").startswith(missing + "."):
            raise Refused(
                "NOT_FOUND",
                'no module "%s" from %s with %s; name its root with PYTHONPATH, or --python'
                % (missing, os.getcwd(), sys.executable),
            )
        raise
    for part in name.split("."):
        if not hasattr(value, part):
            near = difflib.get_close_matches(part, [n for n in dir(value) if n[0] != "_"])
            hint = "; did you mean %s?" % near[0] if near else ""
            raise Refused("NOT_FOUND", 'its module has no "%s"%s' % (part, hint))
        value = getattr(value, part)
    return value
