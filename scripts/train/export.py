"""The files a run leaves behind, in the layouts that `lite3rl export` and `collect` read.

policy.pt         {"state_dict": {actor.0.weight, …, critic.6.bias}}, float32
policy_rsl_rl.pt  the same actor in rsl_rl ≥ 4 layout, normalizer included
actor_config.yaml sizes and activation
obs_stats.npz     mean, std: the network's input is (observation − mean) / std
golden.npz        obs [256, 45] raw observations, actions [256, 12] the network's answers
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from networks import HIDDEN_SIZES, perceptron
from ppo import SUBSTEPS_50_HZ, Trainer
from robot import ACTION_SIZE, OBSERVATION_SIZE

Weights = dict[str, torch.Tensor]
RSL_RL_EPSILON = 0.01  # rsl_rl divides by (_std + 0.01), and does not save that 0.01
GOLDEN_ROWS = 256


def export(trainer: Trainer) -> None:
    """Writes all files to --out."""
    out = Path(trainer.options.out)
    mean, std = trainer.observation_normalizer.as_float32()
    np.savez(out / "obs_stats.npz", mean=mean, std=std)
    batches = [
        trainer.collect(SUBSTEPS_50_HZ, normalise=False)[0] for _ in range(trainer.options.fit)
    ]
    observation, returns, raw_observation = (
        torch.cat([batch[name] for batch in batches])
        for name in ("observation", "return", "raw_observation")
    )
    actor = weights_of(trainer.networks.actor)
    critic = weights_of(fit_critic(observation, returns))
    state_dict = {**prefixed("actor", actor), **prefixed("critic", critic)}
    torch.save({"state_dict": state_dict}, out / "policy.pt")
    torch.save(rsl_rl_checkpoint(trainer, actor, critic), out / "policy_rsl_rl.pt")
    write_config(out / "actor_config.yaml")

    rows = raw_observation[torch.randperm(len(raw_observation))[:GOLDEN_ROWS]].numpy()
    with torch.no_grad():
        actions = trainer.networks.actor(torch.from_numpy((rows - mean) / std)).numpy()
    np.savez(out / "golden.npz", obs=rows.astype(np.float32), actions=actions.astype(np.float32))


def fit_critic(observation: torch.Tensor, returns: torch.Tensor) -> nn.Sequential:
    """A plain critic with 45 inputs, fitted to the finished policy's returns: the layouts have one,
    and the training critic's extra inputs exist only in the simulator. Walking does not use it."""
    critic = perceptron(OBSERVATION_SIZE, 1)
    optimizer = torch.optim.Adam(critic.parameters(), 1e-3)
    for _ in range(6):
        for rows in torch.randperm(len(observation)).split(2048):
            loss = ((critic(observation[rows])[:, 0] - returns[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return critic


def rsl_rl_checkpoint(trainer: Trainer, actor: Weights, critic: Weights) -> dict[str, object]:
    """Both networks with the normalizer, whose _std is stored smaller by what rsl_rl adds: the same
    numbers, up to float rounding."""
    mean, std = trainer.observation_normalizer.as_float32()
    assert std.min() > RSL_RL_EPSILON + 0.001, "an input hardly varies: rsl_rl cannot express that"
    stored = (std.astype(np.float64) - RSL_RL_EPSILON).astype(np.float32)
    normalizer = {"_mean": torch.from_numpy(mean)[None], "_std": torch.from_numpy(stored)[None]}
    normalizer["_var"] = normalizer["_std"] ** 2
    normalizer["count"] = torch.tensor(int(trainer.observation_normalizer.count))
    noise = {"distribution.std_param": trainer.networks.log_std.detach().exp().clone()}

    def layout(weights: Weights, extra: Weights) -> Weights:
        copies = {name: values.clone() for name, values in normalizer.items()}
        return {**prefixed("mlp", weights), **extra, **prefixed("obs_normalizer", copies)}

    return {
        "actor_state_dict": layout(actor, noise),
        "critic_state_dict": layout(critic, {}),
        "iter": trainer.iteration,
        "infos": None,
    }


def write_config(path: Path) -> None:
    sizes = ", ".join(map(str, HIDDEN_SIZES))
    path.write_text(
        f"obs_dim: {OBSERVATION_SIZE}\nact_dim: {ACTION_SIZE}\n"
        f"hidden_sizes: [{sizes}]\nactivation: elu\n"
    )


def weights_of(network: nn.Module) -> Weights:
    return {name: values.detach().clone() for name, values in network.state_dict().items()}


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {f"{prefix}.{name}": values for name, values in weights.items()}
