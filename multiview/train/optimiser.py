"""The optimiser and its parameter groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from multiview import old_import_paths
from multiview.config import Optimizer
from multiview.model import MultiviewModel

__getattr__ = old_import_paths.names_of("train.optimiser")


def make_optimiser(config: Optimizer, model: MultiviewModel, batch: int) -> torch.optim.Optimizer:
    """The optimiser with the learning rate for a global batch.

    adamw and lars do not decay biases and norms (tensors with fewer than two dimensions), and lars
    does not adapt their rate. Learned scalars of edges never decay. The schedule does not change
    groups with `constant_rate`.
    """
    rate, groups = config.rate(batch), _groups(config, model)
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=config.momentum)
    if config.name == "adamw":
        return torch.optim.AdamW(groups, lr=rate)
    from timm.optim import Lars

    return Lars(groups, lr=rate, momentum=config.momentum)


def _groups(config: Optimizer, model: MultiviewModel) -> list[dict[str, Any]]:
    """Parameter groups by weight decay and constant rate, in the order of the model."""
    constant = set(model.constant_rate()) if config.fix_predictor_lr else set()
    scalars = set(model.scalars.parameters())
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            decays = p not in scalars and (config.name == "sgd" or p.ndim > 1)
            groups.setdefault((decays, p in constant), []).append(p)
    # Without weight decay timm's Lars adapts the rate only of a group with `always_adapt`.
    return [
        {"params": params, "weight_decay": config.weight_decay if decays else 0.0, "constant_rate": fixed}
        | ({"always_adapt": decays} if config.name == "lars" else {})
        for (decays, fixed), params in groups.items()
    ]
