"""For tests: what cpp_driver_fixture.cpp does, with the Python client."""

import json
import signal
import sys
import time
from array import array

import lite3rl_client as lite3rl

# From here on every system call that waits is interrupted again and again.
signal.signal(signal.SIGALRM, lambda *_: None)
signal.setitimer(signal.ITIMER_REAL, 0.0007, 0.0007)

address, n, a, protocol = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
client = lite3rl.Client(address, n or None, a or None, raw=protocol == "raw", open_ms=300)


def report(status, start, **more):
    known = {
        "status": int(status),
        "name": status.name.lower().replace("_", " "),
        "reason": client.reason,
        "open": client.is_open,
        "generation": client.generation,
        "ms": (time.monotonic() - start) * 1000,
    }
    print(json.dumps({**known, **more}), flush=True)


for line in sys.stdin:
    verb, *words = line.split()
    start = time.monotonic()
    if verb == "reset":
        client.reset()
    elif verb == "close":
        client.close()
    elif verb == "connect":
        status = client.connect(float(words[0]))
        hello = client.hello or {}
        sizes = [hello.get(key, 0) for key in ("observation_size", "action_size", "rows_max")]
        report(
            status,
            start,
            action=[],
            sizes=sizes,
            recurrent=hello.get("recurrent", False),
            digest=hello.get("about", {}).get("model", {}).get("sha256", "0" * 64),
            about=hello.get("about"),
        )
    elif verb == "infer":
        rows = int(words[1])
        observation = array("f", map(float, words[2:]))
        action = array("f", [-7.0] * rows * (client.action_size or a))
        status = client.infer(observation, action, float(words[0]))
        report(status, start, action=list(action))

signal.setitimer(signal.ITIMER_REAL, 0)
