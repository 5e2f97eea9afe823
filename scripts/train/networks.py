"""The networks, and the running statistics that normalise what goes into them."""

import numpy as np
import torch
from torch import nn

from mirror import CRITIC_EXTRA_SIZE
from robot import ACTION_SIZE, OBSERVATION_SIZE

HIDDEN_SIZES = (256, 128, 64)
CRITIC_INPUT_SIZE = OBSERVATION_SIZE + CRITIC_EXTRA_SIZE
STD_MIN = 1e-3


def perceptron(inputs: int, outputs: int) -> nn.Sequential:
    """Linear layers with ELU between them; the parameters are named 0, 2, 4, 6."""
    layers: list[nn.Module] = []
    for width in HIDDEN_SIZES:
        layers += [nn.Linear(inputs, width), nn.ELU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, outputs))


class ActorCritic(nn.Module):
    """The actor (45 → 12) is what is shipped. The training critic sees simulator state as well."""

    def __init__(self) -> None:
        super().__init__()
        self.actor = perceptron(OBSERVATION_SIZE, ACTION_SIZE)
        self.critic = perceptron(CRITIC_INPUT_SIZE, 1)
        self.log_std = nn.Parameter(torch.zeros(ACTION_SIZE))
        with torch.no_grad():  # start near the default pose
            self.actor[-1].weight *= 0.05
            self.actor[-1].bias *= 0

    def distribution(self, observation: torch.Tensor) -> torch.distributions.Normal:
        """Of the actions [n, 12], for normalised observations [n, 45]."""
        return torch.distributions.Normal(self.actor(observation), self.log_std.exp())

    def value(self, critic_input: torch.Tensor) -> torch.Tensor:
        """The expected return [n], for normalised critic inputs [n, 65]."""
        return self.critic(critic_input)[:, 0]


class Normalizer:
    """Running mean and standard deviation of `size` numbers: x → (x − mean) / max(std, 1e-3)."""

    def __init__(self, size: int) -> None:
        self.mean, self.squares, self.count = np.zeros(size), np.ones(size), 1.0

    @property
    def std(self) -> np.ndarray:
        return np.sqrt(self.squares / self.count)

    def as_float32(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation as they are applied, and as they are shipped."""
        return self.mean.astype(np.float32), np.maximum(self.std, STD_MIN).astype(np.float32)

    def __call__(self, rows: np.ndarray) -> torch.Tensor:
        mean, std = self.as_float32()
        return torch.from_numpy((rows - mean) / std)

    def update(self, rows: np.ndarray) -> None:
        """Takes in a batch (Chan's parallel update); past 6 million rows old ones fade out."""
        rows = rows.astype(np.float64)
        count, mean = len(rows), rows.mean(0)
        shift, total = mean - self.mean, self.count + count
        self.squares += ((rows - mean) ** 2).sum(0) + shift * shift * self.count * count / total
        self.mean += shift * count / total
        self.count = total
        if total > 6e6:
            self.squares *= 4e6 / total
            self.count = 4e6

    def state(self) -> dict[str, object]:
        """For the resume file: float64 tensors and the count, exact."""
        mean, squares = torch.from_numpy(self.mean.copy()), torch.from_numpy(self.squares.copy())
        return {"mean": mean, "squares": squares, "count": self.count}

    def load_state(self, state: dict[str, object]) -> None:
        self.mean, self.squares = state["mean"].numpy().copy(), state["squares"].numpy().copy()
        self.count = float(state["count"])
