"""The reward: what one policy step is worth, term by term, per second of simulated time.

The policy first learns to stay up and move at all (stage 0), then to lift its feet (1), then to
follow the command (2), then to follow it more exactly and to stand on all four feet (3, 4). The
weights were found by hand; README.md tells what that means for a repeat.
"""

from dataclasses import dataclass

import numpy as np

from robot import DEFAULT_POSE

STAGE_STARTS = (540, 1060, 1400, 2700)  # the iterations at which stages 1 to 4 begin
STAGE_WEIGHTS = {
    "velocity": (1.5, 1.5, 2.2, 2.2, 2.2),
    "velocity_slope": (0, 0, 0.8, 0.8, 0.8),
    "velocity_width": (0.12, 0.12, 0.12, 0.07, 0.07),  # (m/s)²
    "turn": (0.8, 0.8, 1.2, 1.2, 1.2),
    "turn_width": (0.15, 0.15, 0.15, 0.1, 0.1),  # (rad/s)²
    "lifted_feet": (0, 0, 0, 1.0, 1.0),
    "drift": (0, 0, 0, 2.5, 6.0),
    "trot": (0.6, 0.8, 0.8, 0.8, 0.8),
    "step_time": (0.5, 2.0, 2.0, 2.0, 2.0),
    "clearance": (0.5, 0.7, 0.7, 0.7, 0.7),
    "early_landing": (0.15, 3.0, 3.0, 3.0, 3.0),
    "tilt": (4, 4, 4, 12, 12),
    "standing_pose": (1.2, 1.2, 1.2, 2.5, 2.5),
}


@dataclass
class Motion:
    """One policy step of every environment: arrays of n rows, in the body frame unless said."""

    seconds: float  # how long the step took
    command: np.ndarray  # [n, 3] vx, vy (m/s), wz (rad/s)
    velocity: np.ndarray  # [n, 3] m/s
    angular_velocity: np.ndarray  # [n, 3] rad/s
    gravity: np.ndarray  # [n, 3] unit vector
    base_height: np.ndarray  # [n] m
    joint_angle: np.ndarray  # [n, 12] rad
    joint_speed: np.ndarray  # [n, 12] rad/s
    previous_joint_speed: np.ndarray  # [n, 12] rad/s
    joint_torque: np.ndarray  # [n, 12] Nm, as the servo would give it at the end of the step
    actions: tuple[np.ndarray, np.ndarray, np.ndarray]  # [n, 12] each: this, last, the one before
    touching: np.ndarray  # [n, 4] bool, foot on the ground
    landed: np.ndarray  # [n, 4] bool, it touches now and did not before
    foot_height: np.ndarray  # [n, 4] m, of the foot's centre in the world
    foot_speed: np.ndarray  # [n, 4] m/s, horizontal in the world
    air_time: np.ndarray  # [n, 4] s since the foot left the ground, 0 while it touches
    previous_air_time: np.ndarray  # [n, 4] s, before this step
    ground_time: np.ndarray  # [n, 4] s since the foot landed, 0 while it is in the air
    command_error: np.ndarray  # [n, 3] command minus motion, averaged over about one stride

    @property
    def moving(self) -> np.ndarray:
        """[n] 1 where the command asks for motion, else 0."""
        return (np.abs(self.command).sum(1) > 0.05).astype(float)

    @property
    def standing(self) -> np.ndarray:
        """[n] 1 where the command asks for none, else 0."""
        return 1 - self.moving


def reward_terms(motion: Motion, stage: int, penalty_scale: float) -> dict[str, np.ndarray]:
    """Every term [n], per second. penalty_scale (0.2 to 1) softens the effort terms early on.

    The reward is their sum in this order: floating-point sums depend on it, and with them a repeat.
    """
    weights = {name: values[stage] for name, values in STAGE_WEIGHTS.items()}
    return {
        **_command_terms(motion, weights),
        **_gait_terms(motion, weights),
        **_body_terms(motion, weights),
        **_effort_terms(motion, weights, penalty_scale),
    }


def _command_terms(motion: Motion, weights: dict[str, float]) -> dict[str, np.ndarray]:
    """Do as told, moving or standing."""
    error_squared = ((motion.command[:, :2] - motion.velocity[:, :2]) ** 2).sum(1)
    turn_error = motion.command[:, 2] - motion.angular_velocity[:, 2]
    return {
        "velocity": weights["velocity"] * np.exp(-error_squared / weights["velocity_width"])
        - weights["velocity_slope"] * np.sqrt(error_squared),
        "turn": weights["turn"] * np.exp(-(turn_error**2) / weights["turn_width"]),
        "lifted_feet": -weights["lifted_feet"] * motion.standing * (~motion.touching).sum(1),
        "drift": -weights["drift"] * np.abs(motion.command_error) @ [1, 1, 0.4],
        "alive": np.full(len(motion.command), 0.2),
    }


def _gait_terms(motion: Motion, weights: dict[str, float]) -> dict[str, np.ndarray]:
    """Trot: long steps, feet well clear of the ground, no stamping. Rests while standing."""
    longest = np.maximum(motion.air_time, motion.ground_time)
    stepping = np.where(longest < 0.25, longest, 0).sum(1)
    resting = np.clip(motion.ground_time - motion.air_time, -0.25, 0.25).sum(1)
    low = ((motion.foot_height - 0.085) ** 2 * np.tanh(2 * motion.foot_speed)).sum(1)
    early = (motion.landed * np.maximum(0.18 - motion.previous_air_time, 0)).sum(1)
    moving, standing = motion.moving, motion.standing
    return {
        "trot": weights["trot"] * _trot(motion) * moving,
        "step_time": weights["step_time"] * (stepping * moving + resting * standing),
        "clearance": weights["clearance"] * moving * np.exp(-low / 0.006),
        "early_landing": -weights["early_landing"] * moving * early / 0.18,
    }


def _trot(motion: Motion) -> np.ndarray:
    """How much it trots, 0 to 1: diagonal feet share air and ground times, neighbours swap them."""
    air, ground = motion.air_time, motion.ground_time

    def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return np.minimum((one - other) ** 2, 0.04)

    def together(i: int, j: int) -> np.ndarray:
        return difference(air[:, i], air[:, j]) + difference(ground[:, i], ground[:, j])

    def opposed(i: int, j: int) -> np.ndarray:
        return difference(air[:, i], ground[:, j]) + difference(ground[:, i], air[:, j])

    mismatch = together(0, 3) + together(1, 2)
    mismatch = mismatch + opposed(0, 1) + opposed(3, 2) + opposed(0, 2) + opposed(3, 1)
    return np.exp(-mismatch / 0.05)


def _body_terms(motion: Motion, weights: dict[str, float]) -> dict[str, np.ndarray]:
    """Keep the body quiet, level and at its height."""
    return {
        "bounce": -1.5 * motion.velocity[:, 2] ** 2,
        "sway": -0.08 * (motion.angular_velocity[:, :2] ** 2).sum(1),
        "tilt": -weights["tilt"] * (motion.gravity[:, :2] ** 2).sum(1),
        "height": -40 * (motion.base_height - 0.325) ** 2,
    }


def _effort_terms(
    motion: Motion, weights: dict[str, float], penalty_scale: float
) -> dict[str, np.ndarray]:
    """Small, smooth actions and torques; no slipping; joints near the default pose."""
    action, last, before_last = motion.actions
    offset_squared = (motion.joint_angle - DEFAULT_POSE) ** 2
    slip = (np.minimum(motion.foot_speed, 2) ** 2 * motion.touching).sum(1)
    acceleration = (motion.joint_speed - motion.previous_joint_speed) / motion.seconds
    pose_weight = 0.1 * motion.moving + weights["standing_pose"] * motion.standing
    scale = penalty_scale
    return {
        "slip": -0.25 * scale * slip,
        "action_rate": -0.015 * scale * ((action - last) ** 2).sum(1),
        "action_jerk": -0.006 * scale * ((action - 2 * last + before_last) ** 2).sum(1),
        "action_size": -0.004 * scale * (action**2).sum(1),
        "torque": -3e-4 * scale * (motion.joint_torque**2).sum(1),
        "acceleration": -2e-7 * scale * (acceleration**2).sum(1),
        "hip": -1.2 * offset_squared[:, 0::3].sum(1),
        "pose": -pose_weight * offset_squared.sum(1),
        "restlessness": -0.02 * scale * motion.standing * (motion.joint_speed**2).sum(1),
    }
