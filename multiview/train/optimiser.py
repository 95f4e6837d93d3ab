"""The optimiser and the schedule of its learning rate."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from multiview.config import Optimizer
from multiview.model import MultiviewModel


def make_optimiser(config: Optimizer, model: MultiviewModel, batch: int) -> torch.optim.Optimizer:
    """sgd and adamw from torch, lars from timm, at the rate for a global batch.

    adamw and lars leave biases and norms (tensors of one dimension or none) without weight decay, and lars without adaptation; scalars
    that edges learn never decay. A group that says `constant_rate` keeps its rate whatever the schedule.
    """
    rate, groups = config.rate(batch), _groups(config, model)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    from timm.optim import Lars

    return Lars(groups, lr=rate, momentum=config.momentum)


def _groups(config: Optimizer, model: MultiviewModel) -> list[dict[str, Any]]:
    """Parameters by whether they decay and whether their rate is constant, in the order of the model."""
    constant = set(model.constant_rate()) if config.fix_predictor_lr else set()
    scalars = set(model.scalars.parameters())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            decays = p not in scalars and (config.name == "sgd" or p.ndim > 1)
            groups.setdefault((decays, p in constant), []).append(p)
    return [
        {"params": params, "weight_decay": config.weight_decay if decays else 0.0, "constant_rate": fixed}
        for (decays, fixed), params in groups.items()
    ]


def rate_factor(config: Optimizer, epoch: float, epochs: float) -> float:
    """The factor on the learning rate at a point of the run, in epochs with their fraction: a function of the step alone.

    steps: gamma for every milestone passed (CMC 120, 160, 200; MoCo 120, 160). cosine: (1 + cos(pi t)) / 2 over what follows the warm-up
    (arXiv:1608.03983; MoCo v2, SimCLR, SimSiam). warmup: linear from 0.
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
    """`rate` times the schedule's `factor` for every group, `rate` alone for those whose rate is constant."""
    for group in optimiser.param_groups:
        group["lr"] = rate if group["constant_rate"] else rate * factor
