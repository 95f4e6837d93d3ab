"""Checks that a model can be trained on its data, before the first step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.errors import MultiviewError
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation


def check_encoders(model: MultiviewModel, tensors: Mapping[str, Tensor]) -> None:
    """Runs the view tensors of two samples through every encoder.

    Raises MultiviewError when an encoder does not accept its view or returns the wrong shape.
    """
    was_training = model.training
    model.eval()
    for name, x in tensors.items():
        features = model.encoder(name).features
        try:
            with torch.no_grad():
                h = model.encoder(name)(x)
        except (RuntimeError, ValueError) as error:
            raise MultiviewError(
                f"the encoder of view '{name}' does not accept tensors of shape {tuple(x.shape)}: "
                f"{str(error).splitlines()[0]} Give the encoder {x.shape[1]} input channels, or change the crop size."
            ) from error
        if tuple(h.shape) != (2, features):
            raise MultiviewError(
                f"the encoder of view '{name}' returns shape {tuple(h.shape)} for 2 samples but declares {features} "
                f"features. It must return (2, {features})."
            )
    model.train(was_training)


def check_batch_norm(model: MultiviewModel, situation: Situation, micro_batch: int | None = None) -> None:
    """Raises MultiviewError when batch norm would see one sample at a time; it needs two."""
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    if situation.per_rank < 2:
        raise MultiviewError(
            f"the encoders have batch norm, which needs two samples, but each of {situation.ranks} processes would see "
            f"{situation.per_rank} per step; give --batch {2 * situation.ranks} or more."
        )
    parts = -(-situation.per_rank // (micro_batch or situation.per_rank))
    if situation.per_rank // parts < 2:
        raise MultiviewError(
            f"micro_batch is {micro_batch}, so that batch norm would see a single sample: a process has "
            f"{situation.per_rank} samples per step and batch norm needs two or more at a time. Give --micro-batch "
            f"{3 if situation.per_rank % 2 else 2} or more."
        )


def check_synchronised(model: MultiviewModel, missing: Mapping[str, int], situation: Situation) -> None:
    """Raises MultiviewError when SyncBatchNorm could wait for a process without samples of a view.

    Args:
        model: with the encoders to check.
        missing: the number of training samples without each view.
        situation: the numbers of samples and processes.
    """
    for name, count in missing.items():
        waits = any(isinstance(module, nn.SyncBatchNorm) for module in model.encoder(name).modules())
        if waits and count and situation.ranks > 1:
            raise MultiviewError(
                f"the encoder of view '{name}' has SyncBatchNorm, in which all processes wait for each other, but "
                f"{count} of {situation.samples} training samples lack that view: a process with fewer than two of "
                "them in its part of a batch would keep the others waiting. Use batch norm without synchronisation or "
                "GroupNorm, or train on samples that all have the view."
            )
