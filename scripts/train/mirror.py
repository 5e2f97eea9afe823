"""The robot's left-right symmetry: what a joint vector, an observation or the critic's input looks
like in a mirror. Half of every training batch is mirrored, so neither side is favoured."""

from dataclasses import dataclass

import numpy as np
import torch

# What the critic sees after the observation (Environment.observe): base velocity 3, base height 1,
# then a number for each leg of: touching, foot height, time in the air, time on the ground.
CRITIC_EXTRA_SIZE = 20


@dataclass(frozen=True)
class Mirror:
    """mirrored[:, i] = signs[i] * original[:, indices[i]]"""

    indices: np.ndarray
    signs: np.ndarray

    def of_array(self, rows: np.ndarray) -> np.ndarray:
        return rows[:, self.indices] * self.signs

    def of_tensor(self, rows: torch.Tensor) -> torch.Tensor:
        signs = torch.as_tensor(self.signs.astype(np.float32))
        return rows[:, torch.as_tensor(self.indices)] * signs


def joint_mirror() -> Mirror:
    """Left legs change places with right legs; sideways (HipX) joints change sign."""
    return Mirror(
        np.array([3, 4, 5, 0, 1, 2, 9, 10, 11, 6, 7, 8]),
        np.array([-1.0, 1, 1] * 4),
    )


def observation_mirror() -> Mirror:
    """Body rate is an axial vector (roll and yaw rates flip), gravity a plain one (y flips); of
    the command vy and wz flip; then come three joint vectors."""
    joint = joint_mirror()
    indices = [np.arange(9), 9 + joint.indices, 21 + joint.indices, 33 + joint.indices]
    signs = [[-1, 1, -1, 1, -1, 1, 1, -1, -1], joint.signs, joint.signs, joint.signs]
    return Mirror(np.concatenate(indices), np.concatenate(signs))


def critic_mirror() -> Mirror:
    """The observation, base velocity (y flips), height, and four groups of one number a leg."""
    observation, legs = observation_mirror(), np.array([1, 0, 3, 2])
    groups = [49 + 4 * group + legs for group in range(4)]
    indices = [observation.indices, 45 + np.arange(4), *groups]
    signs = [observation.signs, [1, -1, 1, 1], np.ones(16)]
    return Mirror(np.concatenate(indices), np.concatenate(signs))


JOINT_MIRROR = joint_mirror()
OBSERVATION_MIRROR = observation_mirror()
CRITIC_MIRROR = critic_mirror()
