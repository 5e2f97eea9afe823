"""The service as the blueprint has it, on ONNX Runtime: one thread, one client after the other.

Usage: service.py MODEL OBS_STATS SOCKET; says READY when it listens, ends when it is killed.
"""

import socket
import sys

import numpy as np
import onnxruntime

model, obs_stats, path = sys.argv[1:]
stats = np.load(obs_stats)
mean, std = stats["mean"].astype(np.float32), stats["std"].astype(np.float32)
options = onnxruntime.SessionOptions()
# More threads make a policy of this size slower.
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
name = session.get_inputs()[0].name
expected_bytes = 4 * session.get_inputs()[0].shape[1]

listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
listener.bind(path)
listener.listen()
print("READY", flush=True)
while True:
    client, _ = listener.accept()
    with client:
        while data := client.recv(expected_bytes, socket.MSG_WAITALL):
            obs = np.frombuffer(data, dtype=np.float32)
            obs = (obs - mean) / np.maximum(std, 1e-3)
            outputs = session.run(None, {name: obs[None]})
            client.sendall(outputs[0].astype(np.float32).tobytes())
