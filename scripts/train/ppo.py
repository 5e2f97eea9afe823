"""Proximal policy optimisation: collect a batch with the policy, improve it a little, again.

After Schulman et al., "Proximal Policy Optimization Algorithms" (2017) and "High-Dimensional
Continuous Control Using Generalized Advantage Estimation" (2016). Ours: half of each minibatch is
mirrored, and the step size follows the KL divergence.
"""

import json
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from environment import Environment
from mirror import CRITIC_MIRROR, JOINT_MIRROR, OBSERVATION_MIRROR, Mirror
from networks import CRITIC_INPUT_SIZE, ActorCritic, Normalizer
from rewards import STAGE_STARTS
from robot import OBSERVATION_SIZE

DISCOUNT, TRACE = 0.99, 0.95  # gamma and lambda
CLIP = 0.2
EPOCHS, MINIBATCHES = 4, 4
ENTROPY_WEIGHT, SYMMETRY_WEIGHT, SIZE_WEIGHT = 0.002, 0.5, 1e-4
LEARNING_RATE_MIN, LEARNING_RATE_MAX = 1e-5, 1.5e-3
KL_LOW, KL_HIGH = 0.006, 0.02  # below: longer steps; above: shorter ones
NOISE_MIN = 0.08  # of the exploration, in action units
SUBSTEPS_50_HZ = 4  # physics steps of 5 ms in a policy step
MIXED_RATES_FROM = 500  # iteration
SETTLED_FROM = 1500  # iteration: from here on the normalizers are updated only now and then

Batch = dict[str, torch.Tensor]


def noise_max(iteration: int) -> float:
    """Upper bound of the exploration noise: wide at first, then lowered so that the gait does not
    lean on it."""
    iterations = (0, 540, 541, 960, 1960, 2700, 2900)
    return float(np.interp(iteration, iterations, (1.1, 1.1, 0.76, 0.48, 0.18, 0.18, 0.12)))


class Trainer:
    """Policy, environments and everything else that goes from one iteration to the next."""

    def __init__(self, options: Namespace) -> None:
        torch.manual_seed(options.seed)
        torch.set_num_threads(1)
        self.options = options
        self.random = np.random.default_rng(options.seed)
        self.environment = Environment(options.envs, options.seed, options.threads)
        self.networks = ActorCritic()
        self.observation_normalizer = Normalizer(OBSERVATION_SIZE)
        self.critic_normalizer = Normalizer(CRITIC_INPUT_SIZE)
        self.learning_rate = 1e-3
        self.iteration, self.steps, self.seconds_before = 0, 0, 0.0
        self.optimizer = torch.optim.Adam(self.networks.parameters(), self.learning_rate)
        self.observation, self.critic_input = self.environment.observe()
        self.episode_lengths: list[float] = []  # of the last 200 episodes, in policy steps
        self.episode_steps = np.zeros(options.envs)

    # -------------------------------------------------------------------------------- resume file
    def _save(self, seconds: float) -> None:
        """Everything but the environments and the random generators, which start afresh."""
        state = {
            "networks": self.networks.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "observation_normalizer": self.observation_normalizer.state(),
            "critic_normalizer": self.critic_normalizer.state(),
            "learning_rate": self.learning_rate,
            "iteration": self.iteration,
            "steps": self.steps,
            "seconds": self.seconds_before + seconds,
        }
        torch.save(state, Path(self.options.out) / "train_state.pt")

    def load(self, path: str) -> None:
        """Goes on from a resume file. It is read as data: nothing in it is executed."""
        state = torch.load(path, weights_only=True)
        self.networks.load_state_dict(state["networks"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.observation_normalizer.load_state(state["observation_normalizer"])
        self.critic_normalizer.load_state(state["critic_normalizer"])
        self.learning_rate, self.iteration = state["learning_rate"], state["iteration"]
        self.steps, self.seconds_before = state["steps"], state["seconds"]

    # -------------------------------------------------------------------------------- collection
    def collect(self, substeps: int, normalise: bool = True) -> tuple[Batch, dict[str, float]]:
        """Runs --horizon policy steps in every environment. Returns the batch, rows step by step,
        and the means for the log. normalise=False leaves the normalizers as they are."""
        horizon, environment = self.options.horizon, self.environment
        environment.penalty_scale = float(np.clip(self.iteration / 800, 0.2, 1))
        environment.stage = sum(self.iteration >= start for start in STAGE_STARTS)
        rows: list[Batch] = []
        raw_observations, raw_critic_inputs = [], []
        means: dict[str, float] = {}
        for _ in range(horizon):
            raw_observations.append(self.observation)
            raw_critic_inputs.append(self.critic_input)
            row = self._step(substeps)
            rows.append(row)
            step_means = {**environment.means, "reward": float(row["reward"].numpy().mean())}
            for name, mean in step_means.items():
                means[name] = means.get(name, 0) + mean / horizon
        advantages = self._advantages(rows)
        batch = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        batch["advantage"] = torch.cat(advantages)
        batch["return"] = batch["advantage"] + batch["value"]
        if normalise and (self.iteration < SETTLED_FROM or self.iteration % 10 == 0):
            self._take_in(self.observation_normalizer, raw_observations, OBSERVATION_MIRROR)
            self._take_in(self.critic_normalizer, raw_critic_inputs, CRITIC_MIRROR)
        return batch, means

    def _step(self, substeps: int) -> Batch:
        """One policy step of all environments, with a reset of those whose episode ended."""
        environment = self.environment
        raw_observation = self.observation
        with torch.no_grad():
            observation = self.observation_normalizer(raw_observation)
            critic_input = self.critic_normalizer(self.critic_input)
            distribution = self.networks.distribution(observation)
            action = distribution.sample()
            value = self.networks.value(critic_input)
            log_probability = distribution.log_prob(action).sum(1)
        reward, fallen, timed_out = environment.step(action.numpy().astype(np.float64), substeps)
        if timed_out.any():  # an episode cut by time goes on in expectation
            reward = reward + DISCOUNT * self._current_value() * timed_out
        ended = fallen | timed_out
        self._count_episodes(ended)
        environment.reset(np.where(ended)[0])
        self.observation, self.critic_input = environment.observe()
        return {
            "observation": observation,
            "critic_input": critic_input,
            "action": action,
            "log_probability": log_probability,
            "value": value,
            "reward": torch.from_numpy(reward.astype(np.float32)),
            "ended": torch.from_numpy(ended.astype(np.float32)),
            "mean": distribution.mean,
            "raw_observation": torch.from_numpy(raw_observation),
        }

    def _current_value(self) -> np.ndarray:
        """The critic's value of the environments' present states. Draws observation noise."""
        with torch.no_grad():
            _, critic_input = self.environment.observe()
            return self.networks.value(self.critic_normalizer(critic_input)).numpy()

    def _count_episodes(self, ended: np.ndarray) -> None:
        self.episode_steps += 1
        self.episode_lengths = (self.episode_lengths + list(self.episode_steps[ended]))[-200:]
        self.episode_steps[ended] = 0

    def _advantages(self, rows: list[Batch]) -> list[torch.Tensor]:
        """Generalised advantage estimate, one tensor [environments] a step."""
        advantages: list[torch.Tensor] = []
        with torch.no_grad():
            next_value = self.networks.value(self.critic_normalizer(self.critic_input))
            advantage = torch.zeros(self.environment.count)
            for row in reversed(rows):
                goes_on = 1 - row["ended"]
                surprise = row["reward"] + DISCOUNT * next_value * goes_on - row["value"]
                advantage = surprise + DISCOUNT * TRACE * goes_on * advantage
                advantages.append(advantage)
                next_value = row["value"]
        return advantages[::-1]

    @staticmethod
    def _take_in(normalizer: Normalizer, batches: list[np.ndarray], mirror: Mirror) -> None:
        """Feeds the normalizer with every sample and its mirror image."""
        samples = np.concatenate(batches)
        normalizer.update(np.concatenate([samples, mirror.of_array(samples)]))

    # -------------------------------------------------------------------------------- improvement
    def update(self, batch: Batch) -> tuple[float, float]:
        """Improves both networks on the batch. Returns the mean KL divergence to the policy that
        collected it, and the last minibatch's value loss."""
        advantage = batch["advantage"]
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        batch = {**batch, "advantage": advantage}
        std_before = self.networks.log_std.detach().exp().clone()
        divergences, value_loss = [], 0.0
        for epoch in range(EPOCHS):
            for rows in torch.randperm(len(advantage)).chunk(MINIBATCHES):
                minibatch = self._half_mirrored(batch, rows)
                loss, value_loss, mean = self._loss(minibatch, symmetry=epoch % 2 == 0)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.networks.parameters(), 1.0)
                self.optimizer.step()
                divergences.append(self._adapt(minibatch["mean"], mean, std_before))
        return float(np.mean(divergences)), value_loss

    @staticmethod
    def _half_mirrored(batch: Batch, rows: torch.Tensor) -> Batch:
        """These rows of the batch, the first half of them as seen in a mirror."""
        minibatch = {name: values[rows] for name, values in batch.items()}
        half = len(rows) // 2
        for name, mirror in (
            ("observation", OBSERVATION_MIRROR),
            ("critic_input", CRITIC_MIRROR),
            ("action", JOINT_MIRROR),
            ("mean", JOINT_MIRROR),
        ):
            minibatch[name][:half] = mirror.of_tensor(minibatch[name][:half])
        return minibatch

    def _loss(self, minibatch: Batch, symmetry: bool) -> tuple[torch.Tensor, float, torch.Tensor]:
        """The loss to go down, the value part of it, and the policy's present mean actions."""
        observation, advantage = minibatch["observation"], minibatch["advantage"]
        distribution = self.networks.distribution(observation)
        mean = distribution.mean
        log_ratio = distribution.log_prob(minibatch["action"]).sum(1) - minibatch["log_probability"]
        ratio = log_ratio.clamp(-10, 10).exp()
        clipped = ratio.clamp(1 - CLIP, 1 + CLIP)
        policy_loss = -torch.min(ratio * advantage, clipped * advantage).mean()

        value, value_before = self.networks.value(minibatch["critic_input"]), minibatch["value"]
        cautious = value_before + (value - value_before).clamp(-CLIP, CLIP)
        target = minibatch["return"]
        value_loss = torch.max((value - target) ** 2, (cautious - target) ** 2).mean()

        asymmetry = 0.0
        if symmetry:  # the mirrored observation should get the mirrored action
            mirrored = self.networks.actor(OBSERVATION_MIRROR.of_tensor(observation))
            asymmetry = ((mirrored - JOINT_MIRROR.of_tensor(mean).detach()) ** 2).mean()
        loss = policy_loss + value_loss - ENTROPY_WEIGHT * distribution.entropy().sum(1).mean()
        loss = loss + SYMMETRY_WEIGHT * asymmetry + SIZE_WEIGHT * (mean**2).mean()
        return loss, value_loss.item(), mean

    @torch.no_grad()
    def _adapt(
        self, mean_before: torch.Tensor, mean: torch.Tensor, std_before: torch.Tensor
    ) -> float:
        """Bounds the exploration noise and sets the step size from the KL divergence (of the half
        that was not mirrored) to the policy that collected the data. Returns the divergence."""
        log_std = self.networks.log_std
        log_std.clamp_(np.log(NOISE_MIN), np.log(noise_max(self.iteration)))
        std, half = log_std.exp(), len(mean) // 2
        shift_squared = (mean_before[half:] - mean[half:]) ** 2
        per_action = torch.log(std / std_before) + (std_before**2 + shift_squared) / (2 * std**2)
        divergence = (per_action - 0.5).sum(1).mean().item()
        if divergence > KL_HIGH:
            self.learning_rate = max(LEARNING_RATE_MIN, self.learning_rate / 1.3)
        elif divergence < KL_LOW:
            self.learning_rate = min(LEARNING_RATE_MAX, self.learning_rate * 1.1)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate
        return divergence

    # -------------------------------------------------------------------------------- the run
    def run(self) -> None:
        """Trains for --minutes; a log line every 10 iterations, a resume file every 50."""
        start = time.time()
        with open(Path(self.options.out) / "log.jsonl", "a") as log:
            while time.time() - start < self.options.minutes * 60:
                substeps = self._choose_rate()
                batch, means = self.collect(substeps)
                divergence, value_loss = self.update(batch)
                self.iteration += 1
                self.steps += len(batch["observation"])
                if self.iteration % 10 == 0:
                    minutes = (time.time() - start + self.seconds_before) / 60
                    means.update(self._progress(minutes, divergence, value_loss, substeps))
                    log.write(json.dumps(_rounded(means)) + "\n")
                    log.flush()
                if self.iteration % 50 == 0:
                    self._save(time.time() - start)
        self._save(time.time() - start)

    def _choose_rate(self) -> int:
        """Mostly 50 Hz; later a quarter of the batches at 100 or 66.7 Hz, so that 83.3 Hz is inside
        the range."""
        if self.iteration < MIXED_RATES_FROM or self.random.random() > 0.25:
            return SUBSTEPS_50_HZ
        return int(self.random.choice([2, 3]))

    def _progress(
        self, minutes: float, divergence: float, value_loss: float, substeps: int
    ) -> dict[str, float]:
        lengths = self.episode_lengths
        return {
            "iteration": self.iteration,
            "steps": self.steps,
            "minutes": minutes,
            "divergence": divergence,
            "value_loss": value_loss,
            "learning_rate": self.learning_rate,
            "substeps": substeps,
            "noise": float(self.networks.log_std.detach().exp().mean()),
            "episode_length": float(np.mean(lengths)) if lengths else 0.0,
        }


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(v, 5) if isinstance(v, float) else v for name, v in values.items()}
