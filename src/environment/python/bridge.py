"""The Python half of lite3rl's bridge: runs a user's environment and policy, and nothing else.

It is given to `python -c`, needs Python 3.6 and no package (numpy is used where it is there). Its
messages go over descriptor 3 in the format of python_process.ts; what the user's program prints
goes to stderr. Descriptor 4 takes the traceback of a crash or a hang, and when lite3rl is gone the
system kills this process group through it, whatever the program is doing.
"""


class Bridge:
    def __init__(self):
        self.environment = None
        self.policy = None

    def answer(self, request, row):
        """The reply to one request: a document and numbers."""
        what = request["op"]
        if what == "environment":
            seed_all(request["seed"])
            self.environment = Environment(request["program"], request["seed"])
            return self.environment.describe(), ()
        if what == "policy":
            if self.environment is None:
                seed_all(request["seed"])
            self.policy = Policy(
                request["program"], request["sizes"], self.environment, request["seed"]
            )
            return {}, ()
        if what == "reset":
            return {}, self.environment.reset(request["seed"])
        if what == "step":
            return self.environment.step(row)
        if what == "command":
            find(self.environment.env, "set_command")(request["command"])
            return {}, ()
        if what == "begin":
            if callable(self.policy.begin):
                self.policy.begin()
            return {}, ()
        if what == "act":
            return {}, self.policy.action(row)
        close = getattr(self.environment and self.environment.env, "close", None)
        if callable(close):
            close()
        return {}, ()


def seed_all(seed):
    random.seed(seed)
    if numpy is not None:
        numpy.random.seed(seed)


def failure(error):
    """What went wrong, and where in the user's program."""
    if isinstance(error, Refused):
        return {"kind": error.kind, "reason": str(error)}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f[0] not in OURS]
    last = traceback.format_exception_only(type(error), error)
    reason = str(last[-1]).strip().split("\n")[0]
    if isinstance(error, SystemExit):
        reason = "it asked to exit with %s" % error.code
    if frames:
        path, line, function = frames[-1][:3]
        reason += " in %s, line %d, in %s" % (os.path.basename(path), line, function)
    text = "".join(["Traceback (most recent call last):\n"] + traceback.format_list(frames) + last)
    return {"kind": "PROGRAM", "reason": reason, "traceback": text}


def receive(channel, count):
    data = bytearray()
    while len(data) < count:
        more = channel.recv(count - len(data))
        if not more:
            os._exit(0)
        data += more
    return bytes(data)


def main():
    os.set_inheritable(CHANNEL, False)
    os.set_inheritable(FAULTS, False)
    faulthandler.enable(file=FAULTS, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=FAULTS, all_threads=False)
    # When the other end is closed, by whatever means, the whole group is killed.
    fcntl.fcntl(FAULTS, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(FAULTS, F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(FAULTS, fcntl.F_SETFL, fcntl.fcntl(FAULTS, fcntl.F_GETFL) | os.O_ASYNC)
    channel = socket.socket(fileno=CHANNEL)
    channel.setblocking(True)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    bridge = Bridge()
    pid = os.getpid()
    while True:
        words, numbers = struct.unpack("<II", receive(channel, 8))
        request = json.loads(receive(channel, words).decode())
        row = array.array("f", receive(channel, numbers))
        try:
            reply, answer = bridge.answer(request, row)
        except BaseException as error:  # whatever the user's program throws is an answer
            reply, answer = {"failure": failure(error)}, ()
        if os.getpid() != pid:
            os._exit(0)  # a child that the program forked: only the original answers
        document = json.dumps(reply).encode()
        payload = array.array("f", answer).tobytes()
        channel.sendall(struct.pack("<II", len(document), len(payload)) + document + payload)
        if request["op"] == "close":
            os._exit(0)


try:
    main()
except (ConnectionError, KeyboardInterrupt):
    os._exit(0)  # lite3rl has gone: there is nobody to tell
