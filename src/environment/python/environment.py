"""An environment of the user's: Gymnasium's and old gym's spellings behind one."""


class Environment:
    """Gymnasium's and old gym's spellings behind one."""

    def __init__(self, program, seed):
        env = load(program)
        if inspect.isclass(env) or (callable(env) and not hasattr(env, "reset")):
            env = env()
        for name in ("reset", "step"):
            if not callable(getattr(env, name, None)):
                kind = type(env).__name__
                raise Refused("PROGRAM", "it gave %s, which has no %s()" % (kind, name))
        self.env = env
        if (find(env, "num_envs") or 1) != 1:
            raise Refused("UNSUPPORTED", "it runs %d environments at once, make one" % env.num_envs)
        _, _, self.observation_size = box(env, "observation_space")
        space, shape, size = box(env, "action_space")
        if size is None:
            size = find(env, "act_dim", "action_dim", "action_size", "num_actions")
            if not isinstance(size, int):
                raise Refused("PROGRAM", "it has no action_space, need one, or act_dim = 12")
            shape = (size,)
        elif hasattr(space, "seed"):
            space.seed(seed)
        self.space, self.shape, self.action_size = space, shape, size
        if self.observation_size is None:
            self.observation_size = len(self.reset(seed))

    def describe(self):
        period = find(self.env, "control_dt", "step_dt")
        terms = find(self.env, "observation_terms")
        return {
            "observationSize": self.observation_size,
            "actionSize": self.action_size,
            "low": bounds(self.space, "low"),
            "high": bounds(self.space, "high"),
            "periodMs": None if period is None else 1000 * single(period, "its control_dt"),
            "terms": None if terms is None else [[str(name), int(size)] for name, size in terms],
            "takesCommand": callable(find(self.env, "set_command")),
        }

    def reset(self, seed):
        found = self.reset_seeded(seed)
        if isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], dict):
            found = found[0]
        return vector(found, self.observation_size, "its reset gave an observation that")

    def reset_seeded(self, seed):
        try:
            parameters = inspect.signature(self.env.reset).parameters
        except (TypeError, ValueError):
            parameters = {}
        open_ended = any(p.kind == p.VAR_KEYWORD for p in parameters.values())
        if "seed" in parameters or open_ended:
            try:
                return self.env.reset(seed=seed)
            except TypeError as error:
                if "seed" in parameters or "'seed'" not in str(error):
                    raise
        if callable(getattr(self.env, "seed", None)):
            self.env.seed(seed)
        return self.env.reset()

    def step(self, row):
        found = self.env.step(given(row, self.shape))
        if not isinstance(found, (tuple, list)) or len(found) not in (4, 5):
            count = len(found) if isinstance(found, (tuple, list)) else 1
            raise Refused(
                "PROGRAM",
                "its step gave %d values, need observation, reward, terminated, truncated, info"
                % count,
            )
        observation, reward, terminated = found[0], found[1], found[2]
        terminated = bool(single(terminated, "terminated"))
        if len(found) == 5:
            truncated = bool(single(found[3], "truncated"))
            info = found[4]
        else:
            info = found[3]
            info = info if isinstance(info, dict) else {}
            truncated = bool(info.get("TimeLimit.truncated", False))
            terminated = terminated and not truncated
        reward = float(single(reward, "reward"))
        if reward != reward or abs(reward) == float("inf"):
            raise Refused("PROGRAM", "its step gave the reward %s, need a finite number" % reward)
        reply = {
            "reward": reward,
            "terminated": terminated,
            "truncated": truncated,
            "info": told(info),
        }
        what = "its step gave an observation that"
        return reply, vector(observation, self.observation_size, what)


INFO = (
    "timeS",
    "position",
    "velocity",
    "attitude",
    "yawRate",
    "footContact",
    "ending",
)


def told(info):
    """What lite3rl knows of a step's `info`, as JSON has it; the rest is the user's own."""
    if not isinstance(info, dict):
        return {}
    known = {name: plain(info[name]) for name in INFO if info.get(name) is not None}
    try:
        json.dumps(known, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise Refused("PROGRAM", "info of its step cannot be passed on: %s" % error)
    return known


def bounds(space, name):
    """Limits of a Box, None where there is none."""
    if space is None:
        return None
    limits = getattr(space, name)
    row = array.array("d", plain(limits) if numpy is None else numpy.ravel(limits))
    return [value if abs(value) < 1e6 else None for value in row]
