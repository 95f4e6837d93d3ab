"""The key encoder of MoCo: a momentum copy of an encoder and its projector."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class KeyEncoder(nn.Module):
    """theta_k <- momentum * theta_k + (1 - momentum) * theta_q for parameters; its batch norm keeps statistics of its own.

    It runs in training mode, as the original does, and takes no gradient.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.encoder = copy.deepcopy(encoder).requires_grad_(False)
        self.projector = copy.deepcopy(projector).requires_grad_(False)

    @torch.no_grad()
    def follow(self, encoder: nn.Module, projector: nn.Module) -> None:
        """One momentum update towards the query side."""
        own = [p.detach() for p in (*self.encoder.parameters(), *self.projector.parameters())]
        query = [p.detach() for p in (*encoder.parameters(), *projector.parameters())]
        torch._foreach_lerp_(own, query, 1 - self.momentum)

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Keys (n, dim) on the unit sphere for view tensors x."""
        return self.projector(self.encoder(x))
