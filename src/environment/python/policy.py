"""A policy of the user's, in the usual spellings."""


def required(function):
    """Names of the parameters that a call must give."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind in kinds]


class Space:
    """What a policy may ask of an action space where its environment is not Python."""

    def __init__(self, low, high):
        self.low, self.high = given(low, (len(low),)), given(high, (len(high),))
        self.shape = (len(low),)

    def sample(self):
        row = [random.uniform(low, high) for low, high in zip(self.low, self.high)]
        return given(row, self.shape)


class Policy:
    """A class, factory, function or object that turns an observation into an action."""

    def __init__(self, program, sizes, environment, seed):
        made = load(program)
        self.sizes = sizes
        self.act = None
        names = required(made)
        if inspect.isclass(made) or (callable(made) and not has_act(made) and len(names) != 1):
            made = made(*self.arguments(names, environment, seed))
        elif inspect.isfunction(made) and names[0] in ("action_space", "env"):
            made = made(*self.arguments(names, environment, seed))
        for name in ("act", "predict", "__call__"):
            if callable(getattr(made, name, None)):
                self.act = getattr(made, name)
                break
        if self.act is None:
            kind = type(made).__name__
            raise Refused("PROGRAM", "%s has no act(observation), predict or __call__" % kind)
        self.begin = getattr(made, "reset", None)

    def arguments(self, names, environment, seed):
        space = environment and environment.space
        if space is None:
            space = Space(self.sizes["low"], self.sizes["high"])
        observation, action = self.sizes["observationSize"], self.sizes["actionSize"]
        known = {"action_space": space, "seed": seed}
        if environment:
            known["env"] = environment.env
            known["observation_space"] = find(environment.env, "observation_space")
        for word in ("obs", "observation", "state", "input"):
            for end in ("_dim", "_size"):
                known[word + end] = observation
        for word in ("act", "action", "output"):
            for end in ("_dim", "_size"):
                known[word + end] = action
        known["num_obs"] = known["num_observations"] = observation
        known["num_actions"] = action
        if all(name in known for name in names):
            return [known[name] for name in names]
        if len(names) < 3:
            return [[], [space], [observation, action]][len(names)]
        unknown = ", ".join(name for name in names if name not in known)
        raise Refused(
            "PROGRAM",
            "it needs %s, which nobody gives; take (), (action_space) or (obs_dim, act_dim)"
            % unknown,
        )

    def action(self, row):
        found = self.act(given(row, (len(row),)))
        if isinstance(found, tuple) and len(found) == 2:
            found = found[0]  # Stable-Baselines3: action and state
        return vector(found, self.sizes["actionSize"], "it gave an action that")


def has_act(value):
    return callable(getattr(value, "act", None)) or callable(getattr(value, "predict", None))
