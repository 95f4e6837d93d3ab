"""Batch norms that see the rows of all processes, on CPUs too."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from multiview.distributed import total, total_with_gradient, world

HALF = (torch.float16, torch.bfloat16)


class JointBatchNorm(_BatchNorm):
    """Batch norm over the rows of all processes. PyTorch's SyncBatchNorm is for GPUs alone.

    All processes must call it equally often. Weights and statistics have the names of BatchNorm.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        if input.dim() < 2:
            raise ValueError(f"expected 2 axes or more, got {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:
        """Normalised rows (n, channels, ...); the statistics are those of all processes."""
        if world() == 1 or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.float() if input.dtype in HALF else input
        axes, shape = [0, *range(2, x.dim())], [1, -1, *[1] * (x.dim() - 2)]
        count = total(torch.tensor(x.numel() // x.shape[1], dtype=x.dtype, device=x.device))
        mean = total_with_gradient(x.sum(axes)) / count
        centred = x - mean.view(shape)
        variance = total_with_gradient(centred.square().sum(axes)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1))
        out = centred * torch.rsqrt(variance + self.eps).view(shape)
        if self.affine:
            out = out * self.weight.view(shape) + self.bias.view(shape)
        return out.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, as BatchNorm does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


class _ThenActs(JointBatchNorm):
    """In place of timm's batch norms that hold their activation."""

    act: nn.Module
    drop: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        out: Tensor = self.act(self.drop(super().forward(input)))
        return out


JOINT = (nn.SyncBatchNorm, JointBatchNorm)
"""Batch norms in which the processes wait for each other."""


def join_norms(model: nn.Module, device: torch.device) -> None:
    """Replaces every batch norm inside a model by one over all processes, with the same weights."""
    if device.type != "cpu":
        from timm.layers import convert_sync_batchnorm  # PyTorch's own loses the activations of timm's norms

        convert_sync_batchnorm(model)
        return
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, _BatchNorm):
                setattr(module, name, _joint(child))


def _joint(norm: _BatchNorm) -> JointBatchNorm:
    kind = _ThenActs if hasattr(norm, "act") and hasattr(norm, "drop") else JointBatchNorm
    out = kind(norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats)
    for part in (norm._parameters, norm._buffers, norm._modules):
        for name, value in part.items():
            setattr(out, name, value)
    return out.train(norm.training)
