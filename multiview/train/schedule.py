"""How long a run lasts, and how its learning rate changes on the way."""

from __future__ import annotations

import math

import torch

from multiview.config import Optimizer, Train
from multiview.errors import MultiviewError


def planned_steps(train: Train, per_epoch: int) -> int:
    """The number of steps of the whole run, a multiple of `accumulate`; an error when it is 0."""
    steps = train.epochs * per_epoch
    steps = min(steps, train.steps) if train.steps is not None else steps
    if steps < train.accumulate:
        raise MultiviewError(
            f"the run has {steps} steps and accumulate is {train.accumulate}, so the optimiser would never move; give "
            f"more --epochs, or --steps {train.accumulate} or more."
        )
    return steps - steps % train.accumulate


def rate_factor(config: Optimizer, epoch: float, epochs: float) -> float:
    """The factor on the learning rate at a point of the run.

    During the warm-up: linear from 0. Then, by schedule:
    steps: `gamma` for every milestone passed (CMC: 120, 160, 200; MoCo: 120, 160).
    cosine: (1 + cos(pi t)) / 2, t from 0 to 1 after the warm-up (arXiv:1608.03983).
    constant: 1.

    Args:
        config: the schedule.
        epoch: epochs done, with the fraction of the current one.
        epochs: epochs of the whole run.
    """
    if epoch < config.warmup:
        return epoch / config.warmup
    if config.schedule == "steps":
        return config.gamma ** sum(math.floor(epoch) >= milestone for milestone in config.milestones)
    if config.schedule == "cosine":
        done = (epoch - config.warmup) / max(epochs - config.warmup, 1e-9)
        return (1 + math.cos(math.pi * min(done, 1.0))) / 2
    return 1.0


def set_rate(optimiser: torch.optim.Optimizer, rate: float, factor: float) -> None:
    """Sets `rate * factor` for all parameter groups, `rate` for groups with a constant rate.

    The `lr_factor` of a group multiplies its rate.
    """
    for group in optimiser.param_groups:
        now = rate if group["constant_rate"] else rate * factor
        group["lr"] = now * group.get("lr_factor", 1.0)
