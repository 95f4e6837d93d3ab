"""Checks that a model can be trained on its data, before the first step."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.errors import MultiviewError
from multiview.jointnorm import JOINT
from multiview.model import MultiviewModel
from multiview.objectives.base import Situation
from multiview.plurals import counted


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
        except MultiviewError as error:
            raise MultiviewError(f"view '{name}': {error}") from error
        except (RuntimeError, ValueError) as error:
            raise MultiviewError(
                f"the encoder of view '{name}' does not accept tensors of shape {tuple(x.shape)}: "
                f"{str(error).splitlines()[0]} {_how_to_fit(model.encoder(name), x.shape[1])}"
            ) from error
        if tuple(h.shape) != (2, features):
            raise MultiviewError(
                f"the encoder of view '{name}' returns shape {tuple(h.shape)} for 2 samples but declares {features} "
                f"features. It must return (2, {features})."
            )
    model.train(was_training)


def _how_to_fit(encoder: nn.Module, channels: int) -> str:
    counts = (getattr(module, "in_channels", getattr(module, "in_features", None)) for module in encoder.modules())
    accepted = next((count for count in counts if isinstance(count, int)), channels)
    if accepted != channels:
        return (
            f"The encoder takes {counted(accepted, 'input channel')} and the view has {channels}: build the encoder "
            f"with {counted(channels, 'input channel')}."
        )
    return "The number of channels fits; the crop is probably too small for this encoder: use a larger crop."


def check_batch_norm(model: MultiviewModel, situation: Situation, micro_batch: int | None = None) -> None:
    """Raises MultiviewError when batch norm would see one sample at a time; it needs two."""
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return
    if situation.per_rank < 2:
        raise MultiviewError(
            f"the encoders have batch norm, which needs two samples per process and step. With {situation.ranks} "
            f"processes, each process would get {situation.per_rank}. Give --batch {2 * situation.ranks} or more."
        )
    _require_pairs(situation, micro_batch or situation.per_rank)


def _require_pairs(situation: Situation, micro_batch: int) -> None:
    """Raises MultiviewError when a micro-batch would have one sample."""
    parts = -(-situation.per_rank // micro_batch)
    if situation.per_rank // parts < 2:
        single = "of 1 sample each" if parts == situation.per_rank else "(one of them has only 1 sample)"
        raise MultiviewError(
            f"micro_batch is {micro_batch}: a process would split its {situation.per_rank} samples per step into "
            f"{parts} parts {single}. Batch norm needs at least 2 samples in every micro-batch. "
            f"Give --micro_batch {3 if situation.per_rank % 2 else 2} or more."
        )


def check_synchronised(model: MultiviewModel, missing: Mapping[str, int], situation: Situation) -> None:
    """Raises MultiviewError when a batch norm could wait for a process without samples of a view.

    missing: the number of training samples without each view.
    """
    for name, count in missing.items():
        waits = any(isinstance(module, JOINT) for module in model.encoder(name).modules())
        if waits and count and situation.ranks > 1:
            raise MultiviewError(
                f"the encoder of view '{name}' has batch norm over all processes (sync_bn), in which they wait for "
                f"each other, but {count} of {situation.samples} training samples lack that view. A process that "
                "gets fewer than two samples with the view in a batch cannot take part, and the others would wait for "
                "ever. Use GroupNorm or batch norm without synchronisation, or only samples that have the view."
            )
