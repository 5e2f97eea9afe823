"""Client of a lite3rl service: one file, Python 3.8 or later, the standard library only.

    client = Client("unix:/tmp/lite3_policy.sock")
    action = array("f", bytes(4 * 12))                  # or a float32 array of numpy, or a list
    status = client.infer(observation, action, deadline_ms=20)
    if status.has_action:
        apply(action)
    else:
        print(status.name, client.reason)

- infer() returns within its deadline (to a millisecond) whatever the service does. It connects,
  and connects again, by itself, and waits for that no longer either.
- Without an action the array stays as it was. An action is never old: a late answer is known by
  its request's id and dropped. No request is sent twice.
- Framed protocol (hello, episodes, status, batches), or raw bytes with raw=True and both sizes.
- One client, one connection, one thread at a time. Exceptions are for arguments of a wrong form.
"""

import errno
import json
import math
import os
import select
import socket
import struct
import time

from lite3rl_protocol import *


class Client:
    """A connection to the service at `address`: unix:PATH or tcp:HOST:PORT. Opens nothing yet.

    The sizes are those of the service's hello if they are not given. Milliseconds: a connection
    that is not ready within `open_ms` is given up; after an attempt that failed the next is made
    `retry_ms` later. `misses_max` unanswered requests in a row end a connection.
    """

    def __init__(
        self, address, observation_size=None, action_size=None, *,
        raw=False, open_ms=1000.0, retry_ms=20.0, misses_max=3,
    ):
        self._family, self._address = parse_address(address)
        if raw and (observation_size is None or action_size is None):
            raise ValueError("raw bytes carry no sizes: give observation_size and action_size")
        self.observation_size = observation_size
        self.action_size = action_size
        self.hello = None  # of the last service that said it: a dict
        self.reason = ""  # why the last call gave no action; "" if it did
        self.service_us = self.inference_us = self.generation = 0  # of the last answer
        self._raw = raw
        self._open_s = open_ms / 1000
        self._retry_s = retry_ms / 1000
        self._misses_max = misses_max
        self._socket = self._poll = None
        self._state = "closed"  # then connecting, greeting, open
        self._reset = True
        self._id = self._hello_id = self._misses = 0
        self._opened_at = self._retry_at = 0.0
        self._refusal = (Status.DISCONNECTED, "")  # what the last attempt came to
        self._rows_max = 0
        self._rx = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def connect(self, timeout_ms=1000.0):
        """Connects, and waits for the service's hello: OK, DEADLINE_MISSED (there is somebody,
        who says nothing), DISCONNECTED, BUSY (no place for another client) or INCOMPATIBLE."""
        end = time.monotonic() + timeout_ms / 1000
        while True:
            self.reason = ""
            if self._state == "open":
                self._drop_late(end)
            status = self._ready(end)
            now = time.monotonic()
            if status not in (Status.DISCONNECTED, Status.BUSY) or now >= end:
                return status
            if self._state == "closed":
                time.sleep(min(end, max(self._retry_at, now + 0.001)) - now)

    def infer(self, observation, action, deadline_ms=1000.0):
        """Asks for the action to an observation, before any normalizer, or for a batch of them.

        `observation`: rows x N numbers; `action`: rows x A numbers that can be written, float32
        or a list. Rows of a recurrent policy are consecutive steps. Returns a Status.
        """
        start = time.monotonic()
        end, self.reason = start + deadline_ms / 1000, ""
        self.service_us = self.inference_us = self.generation = 0
        values = floats_of(observation)
        if not all(map(math.isfinite, values)):
            return self._say(Status.BAD_INPUT, "a number is not finite")
        try:
            if self._state == "open":
                self._drop_late(end)
            status = self._ready(end)
            if status != Status.OK:
                return status
            rows = self._rows_of(values, action)
            if self._raw:
                return self._exchange_raw(values, action, rows, end)
            if rows > self._rows_max:
                return self._say(Status.BAD_INPUT, "too many rows")
            return self._exchange(values, action, rows, start, end)
        except BaseException:  # Ctrl-C amid a request: the stream is out of step
            self.close()
            raise

    def reset(self):
        """A new episode begins with the next request. (Raw: by a new connection.)"""
        self._reset = True
        if self._raw:
            self.close()

    def close(self):
        """The next call connects again, and begins a new episode."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._state = "closed"
        self._misses = 0
        self._rx.clear()

    @property
    def is_open(self):
        return self._state == "open"

    # The connection: one step after the other, as far as the time of a call goes.

    def _ready(self, end):
        if self._state == "closed":
            self._opened_at = time.monotonic()
            if self._opened_at < self._retry_at:
                return self._say(*self._refusal)
            error = self._open()
            if error not in (0, errno.EINPROGRESS, errno.EINTR):
                return self._give_up(os.strerror(error))
            self._state = "connecting"
        if self._state == "connecting":
            if not self._wait(select.POLLOUT, end):
                return self._not_yet("the service takes no connection")
            error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error != 0:
                return self._give_up(os.strerror(error))
            if self._raw:
                self._state = "open"
            elif not self._greet():
                return self._give_up("the service takes no hello")
        if self._state == "greeting":
            status, frame = self._read_frame(HELLO, self._hello_id, end)
            if status == Status.DEADLINE_MISSED:
                return self._not_yet("the service says no hello")
            if status == Status.DISCONNECTED:
                return self._give_up(NO_HELLO)
            return self._meet(frame) if status == Status.OK else status
        return Status.OK

    def _open(self):
        try:
            self._socket = socket.socket(self._family, socket.SOCK_STREAM)
        except OSError as error:
            return error.errno
        self._socket.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        if self._family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket.connect_ex(self._address)

    def _greet(self):
        self._hello_id = self._next_id()
        frame = REQUEST.pack(MAGIC, HELLO, 0, self._hello_id, 0, 0, 0, VERSION, 0)
        self._state = "greeting"
        return self._send(frame, 0)[0] == Status.OK  # a fresh socket has room for it

    def _meet(self, frame):
        header, payload = frame
        if header.kind != ANSWER | HELLO or header.status >= 16:
            is_full = header.status == Status.BUSY
            return self._refuse(Status.BUSY if is_full else Status.INCOMPATIBLE, text_of(payload))
        try:
            sizes = struct.unpack_from("<IIII", payload)
            about = json.loads(payload[HELLO_FIXED:].decode())
        except (struct.error, ValueError, RecursionError):
            about = None
        if not isinstance(about, dict) or not all(0 < size <= SIZE_MAX for size in sizes[:3]):
            return self._refuse(Status.INCOMPATIBLE, "the service's hello is not one")
        wanted = (self.observation_size or sizes[0], self.action_size or sizes[1])
        if sizes[:2] != wanted:
            found = "it takes %d and gives %d numbers, need %d and %d" % (sizes[:2] + wanted)
            return self._refuse(Status.INCOMPATIBLE, found)
        self.observation_size, self.action_size, self._rows_max, flags = sizes
        self.hello = dict(zip(("observation_size", "action_size", "rows_max"), sizes))
        self.hello.update(recurrent=bool(flags & 1), about=about)
        self._state = "open"
        return Status.OK

    # One request.

    def _rows_of(self, values, action):
        rows, rest = divmod(len(values), self.observation_size)
        if rest or rows == 0:
            found = (len(values), self.observation_size)
            raise ValueError("%d numbers are no observations of %d" % found)
        if room_of(action) != rows * self.action_size:
            raise ValueError("need room for %d x %d actions" % (rows, self.action_size))
        return rows

    def _exchange(self, values, action, rows, start, end):
        number = self._next_id()
        payload = values.tobytes()
        deadline_us = min(max(int((end - start) * 1e6), 1), 0xFFFFFFFF)
        head = REQUEST.pack(
            MAGIC, INFER, 1 if self._reset else 0, number,
            len(payload), deadline_us, rows, VERSION, int(start * 1e6),
        )
        status, done = self._send(head + payload, end)
        if status != Status.OK:
            return status
        status, frame = self._read_frame(INFER, number, end)
        if status == Status.DEADLINE_MISSED:
            return self._missed()
        return self._take(frame, action, rows, end) if status == Status.OK else status

    def _take(self, frame, action, rows, end):
        header, payload = frame
        self._misses = 0
        self.service_us = header.service_us
        self.inference_us = header.inference_us
        self.generation = header.generation
        status = Status(header.status)
        if not status.has_action:
            # Busy and bad input change nothing: an episode that was to begin still is.
            if status == Status.DEADLINE_MISSED:
                self._reset = False
            if status == Status.FAILED:
                self._reset = True
            return self._say(status, text_of(payload))
        if header.rows != rows or len(payload) != 4 * rows * self.action_size:
            return self._refuse(Status.INCOMPATIBLE, "the service's action has another size")
        self._reset = False
        return self._give(payload, action, end, status)

    def _exchange_raw(self, values, action, rows, end):
        size = 4 * rows * self.action_size
        status, _ = self._send(values.tobytes(), end)
        while status == Status.OK and len(self._rx) < size:
            status = self._receive(size - len(self._rx), end)
        if status == Status.DEADLINE_MISSED:  # raw answers have no id: the stream is out of step
            return self._fail(status, "no action in time")
        if status != Status.OK:
            return status
        payload = bytes(self._rx)
        self._rx.clear()
        return self._give(payload, action, end, Status.OK)

    def _give(self, payload, action, end, status):
        values = from_wire(payload)
        if not all(map(math.isfinite, values)):
            return self._say(Status.FAILED, "an action is not finite")
        if time.monotonic() > end:
            return self._say(Status.DEADLINE_MISSED, "the action was there too late")
        if isinstance(action, list):
            action[:] = values
        else:
            memoryview(action).cast("B")[:] = values.tobytes()
        return status

    # Frames and bytes.

    def _read_frame(self, kind, number, end):
        """The answer to a request; those to earlier ones are dropped."""
        while True:
            frame = self._next_frame()
            while frame is not None:
                header, payload = frame
                if payload is None:
                    return self._refuse(Status.INCOMPATIBLE, NOT_OURS), None
                is_refusal = kind == HELLO and header.kind == ANSWER | INFER
                if is_refusal or (header.id == number and header.kind == ANSWER | kind):
                    return Status.OK, frame
                frame = self._next_frame()
            status = self._receive(HELLO_MAX, end)
            if status != Status.OK:
                return status, None

    def _next_frame(self):
        """(header, payload); None before it is whole; (header, None) if it is no frame."""
        if len(self._rx) < HEADER:
            return None
        header = Header(*ANSWER_FORMAT.unpack_from(self._rx))
        most = max(HELLO_MAX, 4 * ROWS_MAX * (self.action_size or 0))
        is_known = header.kind in (ANSWER | HELLO, ANSWER | INFER)
        is_ours = header.magic == MAGIC and header.version == VERSION and is_known
        if not is_ours or header.payload_bytes > most:
            return header, None
        size = HEADER + header.payload_bytes
        if len(self._rx) < size:
            return None
        payload = bytes(self._rx[HEADER:size])
        del self._rx[:size]
        return header, payload

    def _drop_late(self, end):
        """What came since the last request is late; an end of the connection is seen in time."""
        while time.monotonic() < end:
            try:
                data = self._socket.recv(HELLO_MAX)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            # Raw bytes that nobody asked for put the stream out of step.
            if not data or self._raw:
                return self.close()
            self._rx += data
            frame = self._next_frame()
            while frame is not None:
                if frame[1] is None:
                    return self.close()
                frame = self._next_frame()

    def _send(self, data, end):
        done = 0
        while done < len(data):
            try:
                done += self._socket.send(memoryview(data)[done:])
            except BlockingIOError:
                if self._wait(select.POLLOUT, end):
                    continue
                status = self._missed()
                if done:  # a request that is cut ends the connection
                    self.close()
                return status, done
            except OSError:
                return self._fail(Status.DISCONNECTED, "the service closed"), done
        return Status.OK, done

    def _receive(self, room, end):
        while self._wait(select.POLLIN, end):
            try:
                data = self._socket.recv(room)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                return self._fail(Status.DISCONNECTED, "the service closed")
            self._rx += data
            return Status.OK
        return Status.DEADLINE_MISSED

    def _wait(self, events, end):
        self._poll.modify(self._socket, events)
        while True:
            left = end - time.monotonic()
            if left <= 0:
                return False
            if self._poll.poll(math.ceil(left * 1000)):
                return True

    # Words.

    def _next_id(self):
        self._id = (self._id + 1) & 0xFFFFFFFF
        return self._id

    def _say(self, status, why):
        self.reason = why
        return status

    def _fail(self, status, why):
        self.close()
        return self._say(status, why)

    def _refuse(self, status, why):
        self._retry_at = time.monotonic() + self._retry_s
        self._refusal = (status, why)
        return self._fail(status, why)

    def _give_up(self, why):
        return self._refuse(Status.DISCONNECTED, why)

    def _missed(self):
        self._misses += 1
        if self._misses >= self._misses_max:
            self.close()
        return self._say(Status.DEADLINE_MISSED, "no action in time")

    def _not_yet(self, why):
        if time.monotonic() - self._opened_at > self._open_s:
            return self._give_up(why)
        return self._say(Status.DEADLINE_MISSED, why)
