"""The optimiser and the schedule of its learning rate."""

from __future__ import annotations

import math

import torch
from torch import nn

from multiview.train.config import Optimizer


def make_optimiser(config: Optimizer, model: nn.Module, batch: int) -> torch.optim.Optimizer:
    """sgd and adamw from torch, lars from timm, at the rate for a global batch.

    adamw and lars leave biases and norms (tensors of one dimension or none) without weight decay, and lars without adaptation.
    """
    rate = config.rate(batch)
    trained = [p for p in model.parameters() if p.requires_grad]
    if config.name == "sgd":
        return torch.optim.SGD(trained, lr=rate, momentum=config.momentum, weight_decay=config.weight_decay)
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    from timm.optim import Lars

    return Lars(groups, lr=rate, momentum=config.momentum)


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


def set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """The same learning rate for every group."""
    for group in optimiser.param_groups:
        group["lr"] = rate
