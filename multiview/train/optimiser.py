"""The optimiser and its parameter groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.optim import optimizer as torch_optimizer

from multiview import old_import_paths
from multiview.config import Optimizer
from multiview.errors import MultiviewError
from multiview.model import MultiviewModel
from multiview.train.unmarked import unmarked
from multiview.tuning import Tuning

__getattr__ = old_import_paths.names_of("train.optimiser")


def make_optimiser(
    config: Optimizer,
    model: MultiviewModel,
    batch: int,
    tuning: Mapping[str, Tuning] | None = None,
    *,
    fused: bool | None = None,
) -> torch.optim.Optimizer:
    """The optimiser with the learning rate for a global batch.

    adamw and lars do not decay biases and norms (tensors with fewer than two dimensions), and lars
    does not adapt their rate. Learned scalars of edges never decay. The schedule does not change
    groups with `constant_rate`. `lr_factor` of a group multiplies its rate.

    Args:
        config: its options.
        model: what it trains.
        batch: samples of a step, of all processes.
        tuning: how the encoders of some views learn, by view.
        fused: sgd and adamw move a group of parameters in one pass over memory. sgd gives the same
            bits; adamw differs in the last bit. None = as PyTorch chooses.

    Raises MultiviewError when nothing learns.
    """
    rate, groups = config.rate(batch), _groups(config, model, tuning or {})
    if not groups:
        raise MultiviewError("nothing of this run learns: every encoder and head is frozen.")
    if config.name == "sgd":
        return unmarked(torch.optim.SGD)(groups, lr=rate, momentum=config.momentum, fused=fused)
    if config.name == "adamw":
        return unmarked(torch.optim.AdamW)(groups, lr=rate, fused=fused)
    from timm.optim import Lars

    return Lars(groups, lr=rate, momentum=config.momentum)


def has_fused(device: torch.device) -> bool:
    """Whether fused optimisers are used on a device; those of MPS are not tested here."""
    return device.type != "mps" and device.type in vars(torch_optimizer)["_get_fused_kernels_supported_devices"]()


class Kind(NamedTuple):
    """What the parameters of one group have in common."""

    decay: float
    adapts: bool
    constant: bool
    factor: float

    def options(self, optimiser: str) -> dict[str, Any]:
        """The options of the group."""
        options = {"weight_decay": self.decay, "constant_rate": self.constant, "lr_factor": self.factor}
        # Without weight decay timm's Lars adapts the rate only of a group with `always_adapt`.
        return options | ({"always_adapt": self.adapts} if optimiser == "lars" else {})


def _groups(config: Optimizer, model: MultiviewModel, tuning: Mapping[str, Tuning]) -> list[dict[str, Any]]:
    """Parameter groups by weight decay, constant rate and factor, in the order of the model."""
    constant = set(model.constant_rate()) if config.fix_predictor_lr else set()
    scalars = set(model.scalars.parameters())
    own = _own_kinds(config, model, tuning)
    groups: dict[Kind, list[nn.Parameter]] = {}
    for p in model.parameters():
        if p.requires_grad:
            factor, decay = own.get(p, (1.0, config.weight_decay))
            decays = p not in scalars and (config.name == "sgd" or p.ndim > 1)
            groups.setdefault(Kind(decay if decays else 0.0, decays, p in constant, factor), []).append(p)
    return [{"params": params, **kind.options(config.name)} for kind, params in groups.items()]


def _own_kinds(
    config: Optimizer, model: MultiviewModel, tuning: Mapping[str, Tuning]
) -> dict[nn.Parameter, tuple[float, float]]:
    """Factor on the learning rate and weight decay of the parameters of tuned encoders."""
    found = {}
    for view, own in tuning.items():
        encoder = model.encoder(view)
        blocks = encoder.blocks()
        last = max(blocks.values(), default=0)
        decay = config.weight_decay if own.weight_decay is None else own.weight_decay
        for name, parameter in encoder.named_parameters():
            found[parameter] = (own.lr_scale * own.layer_decay ** (last - blocks.get(name, 0)), decay)
    return found
