"""Proximal policy optimisation of the controller: pure functions (Schulman et al., 2017)."""
import torch
from torch import Tensor


def moving_baseline(baseline: float | None, rewards: Tensor, decay: float) -> float:
    """Return the exponential moving average of the rewards after a batch.

    Args:
        baseline (float | None): The average so far; None before the first batch, whose mean it becomes.
        rewards (Tensor): Rewards of the batch, (B,).
        decay (float): How much of the average so far is kept, 0..1.
    """
    mean = rewards.mean().item()
    return mean if baseline is None else decay * baseline + (1 - decay) * mean


def advantages(rewards: Tensor, baseline: float, eps: float = 1e-8) -> Tensor:
    """Return how much better than the baseline each reward is, their root mean square being 1.

    The scale of rewards then does not matter: the AP of a proxy task may spread over a few hundredths.
    Dividing by the batch's deviation instead would blow up where a controller draws one genotype only.

    Args:
        rewards (Tensor): Rewards of the batch, (B,).
        baseline (float): What to compare them with.
        eps (float): Added to the root mean square, so that rewards at the baseline divide by something.

    Returns:
        Tensor: Advantages, (B,).
    """
    better = rewards - baseline
    return better / (better.square().mean().sqrt() + eps)


def ppo_loss(log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, entropies: Tensor,
             clip: float, entropy_weight: float) -> Tensor:
    """Return the loss of the clipped objective with an entropy bonus, to be minimised.

    Args:
        log_probs (Tensor): Of the actions under the policy that learns, (B, T): one for each decision.
        old_log_probs (Tensor): Of the actions under the policy that drew them, (B, T).
        advantages (Tensor): Of each sample, (B,): all of its decisions share one.
        entropies (Tensor): Of the policy's softmaxes in nats, (B, T).
        clip (float): How far the ratio of probabilities may be from 1 before it gains nothing.
        entropy_weight (float): Weight of the mean entropy.

    Returns:
        Tensor: Scalar.
    """
    ratio = (log_probs - old_log_probs).exp()  # (B, T)
    advantage = advantages[:, None]  # (B, 1)
    objective = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    return -objective.mean() - entropy_weight * entropies.mean()
