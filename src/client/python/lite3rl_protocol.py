"""The framed protocol's numbers, as its PROTOCOL.md has them, and the forms of values."""

import enum
import socket
import struct
import sys
from array import array
from collections import namedtuple

if sys.byteorder != "little":
    raise ImportError("the protocol is little-endian, and this machine is not")


class Status(enum.IntEnum):
    OK = 0
    FALLBACK = 1  # an action, by the service's fallback on the CPU
    DEGRADED = 2  # an action, limited by a guard, or for an unusual observation
    BAD_INPUT = 16  # a number is not finite, or the rows are too many
    DEADLINE_MISSED = 17  # no action in time
    BUSY = 18  # not taken now
    FAILED = 19  # the model gave no valid action
    # The client's own, never on the wire:
    DISCONNECTED = 256  # there is no service, or it closed; the next call tries again
    INCOMPATIBLE = 257  # the service has other sizes, or does not speak this protocol

    @property
    def has_action(self):
        return self < 16

    @classmethod
    def _missing_(cls, value):
        # Statuses to come: below 16 there is an action, from 16 on there is none.
        return cls.DEGRADED if value < 16 else cls.FAILED


MAGIC = 0x7FF4334C
VERSION = 1
HELLO, INFER, ANSWER = 1, 2, 0x8000
ROWS_MAX = 64
HEADER = 32  # bytes, of requests and answers
HELLO_FIXED = 48  # bytes of a hello before its JSON
HELLO_MAX = 64 << 10  # bytes of a hello
SIZE_MAX = 1 << 20  # numbers of an observation or action that a hello can mean

NOT_OURS = "the service does not speak this protocol"
NO_HELLO = (
    "the service closed instead of saying hello; its log says why: it may be full "
    "(--max-clients), not let this user in (--allow-uid), or speak raw bytes only"
)

REQUEST = struct.Struct("<IHHIIIHHQ")
ANSWER_FORMAT = struct.Struct("<IHHIIIHHII")
Header = namedtuple(
    "Header", "magic kind status id payload_bytes service_us rows version inference_us generation"
)


def parse_address(text):
    """unix:PATH or tcp:HOST:PORT -> family and address of a socket; else ValueError."""
    kind, _, rest = text.partition(":")
    if kind == "unix" and 0 < len(rest.encode()) < 108:
        return socket.AF_UNIX, rest
    host, _, port = rest.rpartition(":")
    if kind == "tcp" and host and port.isdigit() and 0 < int(port) < 65536:
        host = "127.0.0.1" if host == "localhost" else host
        try:
            socket.inet_aton(host)
        except OSError:
            raise ValueError("%r is no IPv4 address" % host) from None
        return socket.AF_INET, (host, int(port))
    raise ValueError("%r is neither unix:PATH nor tcp:HOST:PORT" % text)


def floats_of(values):
    """Numbers, or rows of numbers, as one array of float32."""
    if isinstance(values, array) and values.typecode == "f":
        return values
    if hasattr(values, "dtype"):  # numpy's
        if values.dtype == "float32":
            return from_wire(values.tobytes())
        return array("f", values.ravel().tolist())
    flat = array("f")
    for value in values:
        if hasattr(value, "__iter__"):
            flat.extend(floats_of(value))
        else:
            flat.append(value)
    return flat


def room_of(action):
    """How many numbers can be written there."""
    if isinstance(action, list):
        return len(action)
    view = memoryview(action)
    if view.format != "f" or view.readonly or not view.c_contiguous:
        raise ValueError("need a list, or an array of float32 that can be written, for the action")
    return view.nbytes // 4


def from_wire(data):
    values = array("f")
    values.frombytes(data)
    return values


def text_of(payload):
    """A reason, without what would control a terminal."""
    text = payload[:512].decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)
