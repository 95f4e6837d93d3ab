"""How long a run lasts, and how its learning rate changes on the way."""

from __future__ import annotations

import math

import torch

from multiview.config import USUAL_EPOCHS, Optimizer, Train
from multiview.errors import MultiviewError

EPOCHS = 200
"""Epochs of a run for which neither epochs nor steps are given."""


def planned_steps(train: Train, per_epoch: int) -> int:
    """The number of steps of the whole run, a multiple of `accumulate`; an error when it is 0."""
    epochs = EPOCHS if train.epochs is None and train.steps is None else train.epochs_of(per_epoch)
    lengths = (None if epochs is None else epochs * per_epoch, train.steps)
    steps = min(length for length in lengths if length is not None)
    if steps < train.accumulate:
        raise MultiviewError(
            f"the run has {steps} steps and accumulate is {train.accumulate}, so the optimiser would never move; give "
            f"more --epochs, or --steps {train.accumulate} or more."
        )
    return steps - steps % train.accumulate


def length_note(train: Train, per_epoch: int) -> str | None:
    """What ends the run: which of `epochs` and `steps` where they differ, or a choice of `auto`."""
    count = train.epochs_of(per_epoch)
    if count is None or train.steps is None:
        return _auto_note(train, count, per_epoch)
    if count * per_epoch == train.steps:
        return None
    epochs = f"epochs {count} ({count * per_epoch:,} steps)"
    steps = f"steps {train.steps:,}"
    first, other = (epochs, steps) if count * per_epoch < train.steps else (steps, epochs)
    return f"Note: train.{first} end the run before train.{other} would; give one of them alone to choose it."


def _auto_note(train: Train, count: int | None, per_epoch: int) -> str | None:
    if train.epochs != "auto" or count is None or count == USUAL_EPOCHS:
        return None
    return (
        f"{count} epochs, because {USUAL_EPOCHS} would be {USUAL_EPOCHS * per_epoch:,} steps, and few steps teach "
        "little; --epochs or --steps choose another length."
    )


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
