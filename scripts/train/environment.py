"""Many Lite3s in MuJoCo at once: randomised robots, commands, pushes, observations and rewards.

All environments are stepped by MuJoCo's `rollout` in C++ threads. The order in which random numbers
are drawn is part of the result: a change of it changes every run.
"""

import copy

import mujoco
import numpy as np
from mujoco import rollout

from mirror import CRITIC_EXTRA_SIZE
from rewards import Motion, reward_terms
from robot import (
    ACTION_SCALE,
    ACTION_SIZE,
    DAMPING,
    DEFAULT_POSE,
    EFFORT_LIMIT,
    FOOT_RADIUS,
    PHYSICS_STEP_S,
    STIFFNESS,
    body_motion,
    lite3_xml,
    observe,
)

STATE_SIZE = 38  # MuJoCo's full physics state of this model: time 1, qpos 19, qvel 18
QPOS, QVEL = slice(1, 20), slice(20, 38)
EPISODE_STEPS = 1000
RECOMMAND_S = PUSH_S = 5.0  # mean time between new commands, and between pushes
ACTION_LIMIT = 10.0
STRIDE_S = 0.35  # over which the command's error is averaged
TOUCH_N = 1.0  # force from which a foot counts as touching
FALL_GRAVITY_Z, FALL_HEIGHT_M = -0.7, 0.17  # tilted by some 45°, or lower than this


class Environment:
    """`count` robots as one object; every array has a row for each."""

    def __init__(self, count: int, seed: int, threads: int) -> None:
        self.count = count
        self.random = random = np.random.default_rng(seed)
        base = mujoco.MjModel.from_xml_string(lite3_xml())
        self.stiffness = STIFFNESS * random.uniform(0.9, 1.1, (count, 1))
        self.damping = DAMPING * random.uniform(0.9, 1.1, (count, 1))
        self.models = [self._randomised(base, index) for index in range(count)]
        self.datas = [mujoco.MjData(base) for _ in range(threads)]
        self.rollout = rollout.Rollout(nthread=threads)

        self.state = np.zeros((count, STATE_SIZE))
        self.command = np.zeros((count, 3))
        self.command_error = np.zeros((count, 3))
        self.last_action = np.zeros((count, ACTION_SIZE))
        self.action_before_last = np.zeros((count, ACTION_SIZE))
        self.previous_joint_speed = np.zeros((count, 12))
        self.target = np.tile(DEFAULT_POSE, (count, 1))  # rad
        self.delay = np.zeros(count, int)  # physics steps until a new target takes effect
        self.age = np.zeros(count, int)  # policy steps since the reset
        self.touching = np.ones((count, 4), bool)
        self.foot_height = np.full((count, 4), FOOT_RADIUS)
        self.air_time = np.zeros((count, 4))  # s
        self.ground_time = np.zeros((count, 4))  # s
        self.stage, self.penalty_scale = 0, 1.0  # set by the trainer as training goes on
        self.means: dict[str, float] = {}  # of the last step, for the log

        self.reset(np.arange(count))
        self.age[:] = random.integers(0, 900, count)  # so that not all episodes end together

    def _randomised(self, base: mujoco.MjModel, index: int) -> mujoco.MjModel:
        """A robot with its own friction, payload and gains; every fourth has joint friction too."""
        model, random = copy.copy(base), self.random
        model.geom_friction[:, 0] = random.uniform(0.4, 1.2)
        payload = random.uniform(0.9, 1.15)
        model.body_mass[1] *= payload
        model.body_inertia[1] *= payload
        model.body_ipos[1] += random.uniform(-0.015, 0.015, 3)  # m
        model.actuator_biasprm[:, 1] = -self.stiffness[index]
        model.actuator_biasprm[:, 2] = -self.damping[index]
        if index % 4 == 0:
            model.dof_armature[6:] = random.uniform(0, 0.008)  # kg m²
            model.dof_frictionloss[6:] = random.uniform(0, 0.15)  # Nm
        return model

    def _sample_commands(self, count: int) -> np.ndarray:
        """Commands [count, 3]: half of them along or about fewer axes, one in eight to stand."""
        random = self.random
        kind = random.random(count)
        backward = random.random(count) < (0.4 if self.stage >= 2 else 0.33)
        speed_backward, speed_forward = random.uniform(-0.5, 0, count), random.uniform(0, 1, count)
        forward = np.where(backward, speed_backward, speed_forward)
        sideways, turn = random.uniform(-0.4, 0.4, count), random.uniform(-0.8, 0.8, count)
        commands = np.stack([forward, sideways, turn], 1)
        commands[kind < 0.25, 1:] = 0  # straight on
        commands[(kind > 0.25) & (kind < 0.33), :2] = 0  # turn on the spot
        commands[(kind > 0.33) & (kind < 0.41), 0] = 0  # sideways
        commands[(kind > 0.41) & (kind < 0.5), 2] = 0  # no turn
        commands[kind > 0.88] = 0  # stand
        commands[np.abs(commands) < 0.05] = 0
        return commands

    def reset(self, rows: np.ndarray) -> None:
        """Puts the robots of these rows back on their feet, near the default pose."""
        if not len(rows):
            return
        random, count = self.random, len(rows)
        state = np.zeros((count, STATE_SIZE))
        yaw = random.uniform(-np.pi, np.pi, count)
        state[:, 3] = 0.335 + random.uniform(-0.01, 0.02, count)  # base height, m
        state[:, 4], state[:, 7] = np.cos(yaw / 2), np.sin(yaw / 2)  # quaternion w and z
        state[:, 8:20] = DEFAULT_POSE + random.uniform(-0.12, 0.12, (count, 12))
        state[:, 20:26] = random.uniform(-0.25, 0.25, (count, 6))  # base velocity
        self.state[rows] = state
        self.command[rows] = self._sample_commands(count)
        self.delay[rows] = random.choice([0, 0, 0, 1, 1, 2, 3, 4], count)
        self.age[rows] = 0
        self.target[rows] = DEFAULT_POSE
        for history in (
            self.last_action, self.action_before_last, self.previous_joint_speed,
            self.air_time, self.ground_time, self.command_error,
        ):  # fmt: skip
            history[rows] = 0

    def observe(self) -> tuple[np.ndarray, np.ndarray]:
        """What the policy sees, float32 [n, 45], and what the training critic sees, [n, 65]: the
        same and simulator state that the robot does not have, scaled to about one."""
        qpos, qvel = self.state[:, QPOS], self.state[:, QVEL]
        observation = observe(qpos, qvel, self.command, self.last_action, self.random)
        velocity, _ = body_motion(qpos, qvel)
        extra = [
            velocity,
            qpos[:, 2:3] * 5,
            self.touching,
            self.foot_height * 10,
            self.air_time * 3,
            np.minimum(self.ground_time, 1),
        ]
        critic_input = np.concatenate([observation, *extra], 1).astype(np.float32)
        assert critic_input.shape[1] == observation.shape[1] + CRITIC_EXTRA_SIZE
        return observation, critic_input

    def step(self, action: np.ndarray, substeps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One policy step of substeps × 5 ms: reward (float32), fallen and timed out (bool), [n].

        Robots that fell or timed out are not reset here: see reset().
        """
        seconds = substeps * PHYSICS_STEP_S
        action = np.clip(action, -ACTION_LIMIT, ACTION_LIMIT)
        sensors, broken = self._simulate(DEFAULT_POSE + ACTION_SCALE * action, substeps)
        self.age += 1
        motion = self._motion(action, sensors, seconds)
        terms = reward_terms(motion, self.stage, self.penalty_scale)
        self.previous_joint_speed = motion.joint_speed.copy()
        self.action_before_last, self.last_action = self.last_action, action.copy()

        tipped, sunk = motion.gravity[:, 2] > FALL_GRAVITY_Z, motion.base_height < FALL_HEIGHT_M
        fallen = broken | tipped | sunk
        reward = sum(terms.values()) * seconds - fallen
        self.means = self._means(terms, fallen, motion)
        timed_out = (self.age >= EPISODE_STEPS) & ~fallen
        self._disturb(seconds)
        return reward.astype(np.float32), fallen, timed_out

    def _simulate(self, target: np.ndarray, substeps: int) -> tuple[np.ndarray, np.ndarray]:
        """Runs the physics; the new target (rad) takes effect after each robot's delay. Returns the
        sensors [n, 28] and which robots' simulation broke; those keep their last good state."""
        arrived = np.arange(substeps)[None, :, None] >= self.delay[:, None, None]
        targets = np.where(arrived, target[:, None], self.target[:, None])
        control = self.stiffness[:, :, None] * targets
        self.target = target
        states, sensors = self.rollout.rollout(
            self.models, self.datas, self.state, control, nstep=substeps
        )
        state = states[:, -1].copy()
        broken = ~np.isfinite(state).all(1)
        state[broken] = self.state[broken]
        self.state = state
        return sensors[:, -1], broken

    def _motion(self, action: np.ndarray, sensors: np.ndarray, seconds: float) -> Motion:
        """Reads the step's outcome from state and sensors; updates feet and command error."""
        qpos, qvel, command = self.state[:, QPOS], self.state[:, QVEL], self.command
        joint_angle, joint_speed, angular_velocity = qpos[:, 7:], qvel[:, 6:], qvel[:, 3:6]
        velocity, gravity = body_motion(qpos, qvel)
        touching = sensors[:, :4] > TOUCH_N
        previous_air_time = self.air_time
        self.touching, self.foot_height = touching, sensors[:, 4:16].reshape(-1, 4, 3)[..., 2]
        self.air_time = np.where(touching, 0, self.air_time + seconds)
        self.ground_time = np.where(touching, self.ground_time + seconds, 0)
        torque = self.stiffness * (self.target - joint_angle) - self.damping * joint_speed
        achieved = np.c_[velocity[:, :2], angular_velocity[:, 2]]
        self.command_error += (command - achieved - self.command_error) * seconds / STRIDE_S
        return Motion(
            seconds=seconds,
            command=command,
            velocity=velocity,
            angular_velocity=angular_velocity,
            gravity=gravity,
            base_height=qpos[:, 2],
            joint_angle=joint_angle,
            joint_speed=joint_speed,
            previous_joint_speed=self.previous_joint_speed,
            joint_torque=np.clip(torque, -max(EFFORT_LIMIT), max(EFFORT_LIMIT)),
            actions=(action, self.last_action, self.action_before_last),
            touching=touching,
            landed=touching & (previous_air_time > 0),
            foot_height=self.foot_height,
            foot_speed=np.linalg.norm(sensors[:, 16:28].reshape(-1, 4, 3)[..., :2], axis=-1),
            air_time=self.air_time,
            previous_air_time=previous_air_time,
            ground_time=self.ground_time,
            command_error=self.command_error,
        )

    def _means(
        self, terms: dict[str, np.ndarray], fallen: np.ndarray, motion: Motion
    ) -> dict[str, float]:
        """Means over the robots: reward terms, falls, and how far off the command they were."""
        achieved = (motion.velocity[:, 0], motion.velocity[:, 1], motion.angular_velocity[:, 2])
        names = ("error_vx", "error_vy", "error_wz")
        errors = {
            name: float(np.abs(motion.command[:, axis] - achieved[axis]).mean())
            for axis, name in enumerate(names)
        }
        means = {name: float(values.mean()) for name, values in terms.items()}
        return {**means, "fallen": float(fallen.mean()), **errors}

    def _disturb(self, seconds: float) -> None:
        """Now and then a new command, and a push: a sudden change of the base's velocity."""
        random = self.random
        rows = np.where(random.random(self.count) < seconds / RECOMMAND_S)[0]
        self.command[rows] = self._sample_commands(len(rows))
        self.command_error[rows] = 0
        rows = np.where(random.random(self.count) < seconds / PUSH_S)[0]
        self.state[rows, 20:22] += random.uniform(-0.5, 0.5, (len(rows), 2))  # m/s, horizontal
        self.state[rows, 23:26] += random.uniform(-0.4, 0.4, (len(rows), 3))  # rad/s
