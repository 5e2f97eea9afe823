/**
 * For tests: Python programs as users write them, and worse.
 */

import { writeFileSync } from "node:fs";
import { join } from "node:path";

/** An environment of two numbers and one action, in old spelling and new, with everything wrong. */
const PROGRAMS = `
import os, sys, time

class Plain:
    """Five values a step, sizes by attribute, lists only."""
    act_dim = 1
    steps = 0

    def reset(self, seed=None):
        self.steps = 0
        return [float(seed), 0.0], {"any": object()}

    def step(self, action):
        self.steps += 1
        return [float(action[0]), float(self.steps)], 1.5, False, self.steps == 3, {}

class Old:
    """gym before 0.26: seed() apart, four values a step."""
    act_dim = 1
    num = 0

    def seed(self, seed):
        self.num = seed

    def reset(self):
        return [float(self.num), 0.0]

    def step(self, action):
        done = action[0] > 0
        return [0.0, 0.0], 0, done, {"TimeLimit.truncated": bool(action[0] > 1)}

class Rich(Plain):
    """All that lite3rl asks for."""
    control_dt = 0.01
    observation_terms = [("gyro", 1), ("command", 1)]
    command = [0, 0, 0]

    def set_command(self, command):
        self.command = command

    def step(self, action):
        return [self.command[0], self.command[2]], 0, False, False, {}

class OfSpaces:
    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action

    def reset(self):
        return [0.0, 0.0]

    def step(self, action):
        raise NotImplementedError

def stepping(step):
    env = Plain()
    env.step = step
    return env

def sized(observation):
    return stepping(lambda action: (observation, 0, False, False, {}))

def raises(): return stepping(lambda action: 1 // 0)
def hangs(): return stepping(lambda action: time.sleep(100))
def spins():
    def spin(action):
        while True: pass
    return stepping(spin)
def exits(): return stepping(lambda action: sys.exit(3))
def vanishes(): return stepping(lambda action: os._exit(4))
def killed(): return stepping(lambda action: os.kill(os.getpid(), 9))
def crashes():
    import ctypes
    return stepping(lambda action: ctypes.string_at(0))
def nan(): return sized([0, float("nan")])
def infinite(): return sized([0, 1e300])
def short(): return sized([0])
def batch(): return sized([[0, 0], [0, 0]])
def words(): return sized(["a", "b"])
def mapping(): return sized({"policy": [0, 0]})
def thing(): return sized(object())
class Told(Plain):
    """Says where its robot is, and how it fell."""
    def step(self, action):
        info = {"position": (0, 0, 0.3), "yawRate": 0.5, "ending": "it fell", "own": object()}
        return [0.0, 0.0], 0, True, False, info

def place(): return stepping(lambda action: ([0, 0], 0, False, False, {"position": [1, 2]}))
def lost():
    return stepping(lambda action: ([0, 0], 0, False, False, {"yawRate": float("nan")}))
def forks():
    def step(action):
        child = os.fork()
        if child: os.waitpid(child, 0)
        return [float(child > 0), 0.0], 0, False, False, {}
    return stepping(step)

def three(): return stepping(lambda action: ([0, 0], 0, False))
def reward(): return stepping(lambda action: ([0, 0], float("nan"), False, False, {}))
def flag(): return stepping(lambda action: ([0, 0], 0, "no", False, {}))
class Tensor:
    """As much of torch's as a program may hand out."""
    def __init__(self, values, where="leaf"): self.values, self.where = values, where
    def detach(self): return Tensor(self.values, "detached")
    def cpu(self): return Tensor(self.values, self.where + " cpu")
    def tolist(self):
        assert self.where == "detached cpu", self.where
        return self.values
def tensors():
    values = [Tensor([[1.0, 2.0]]), Tensor([3.0]), Tensor([False]), Tensor([True]), {}]
    return stepping(lambda action: values)

def squeezed(): return stepping(lambda action: ([[1, 2]], [3.0], [True], [False], {}))

def prints():
    def step(action):
        print("x" * 100000)
        os.write(1, b"from C\\n")
        os.system("echo from a child")
        return [0, 0], 0, False, False, {}
    return stepping(step)

def nothing(): return None
def broken(): raise RuntimeError("no display")
def needy(robot): return None
def sizeless():
    env = Plain()
    env.act_dim = None
    return env
def many():
    env = Plain()
    env.num_envs = 8
    return env
def uneven():
    env = Rich()
    env.observation_terms = [("gyro", 5)]
    return env
def closing():
    env = Plain()
    env.close = lambda: open(os.environ["LITE3RL_TEST_CLOSED"], "w").close()
    return env

class Act:
    def __init__(self, obs_dim, act_dim): self.sizes = obs_dim, act_dim
    def act(self, obs): return [obs[0]] * self.sizes[1]

class Predict:
    """Stable-Baselines3's."""
    def predict(self, obs): return [float(len(obs))], None

class Callable:
    count = 0
    def reset(self): self.count = 0
    def __call__(self, obs):
        self.count += 1
        return [self.count]

class OfSpace:
    def __init__(self, action_space): self.space = action_space
    def act(self, obs): return self.space.sample()

def function(obs): return [2 * obs[0]]
def wide(obs): return [0] * 3
def bad(obs): return [float("inf")]
class Mute: pass
class Strange:
    def __init__(self, robot, gait, terrain): pass
`;

/** Writes the programs as a module and returns its path, to which `:name` is added. */
export function writePythonPrograms(directory: string): string {
  const path = join(directory, "programs.py");
  writeFileSync(path, PROGRAMS);
  return path;
}
