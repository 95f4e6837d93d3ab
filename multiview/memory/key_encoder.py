"""The key encoder of MoCo and BYOL: a momentum copy of an encoder and its projector."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from multiview.distributed import from_first, gather, own_rows
from multiview.masked_forward import masked_forward
from multiview.objectives.needs import Keys


class KeyEncoder(nn.Module):
    """theta_k <- m theta_k + (1 - m) theta_q for parameters; buffers are copied once, then its batch norm keeps statistics of its own.

    It runs in training mode, as the original does, and takes no gradient. groups: see `Needs`.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module, keys: Keys, groups: int = 1) -> None:
        super().__init__()
        self.of, self.groups = keys, groups
        self.encoder = copy.deepcopy(encoder).requires_grad_(False).train()
        self.projector = copy.deepcopy(projector).requires_grad_(False).train()

    def momentum(self, done: float) -> float:
        """m when a share `done` of the run is behind: constant, or 1 - (1 - m)(cos(pi done) + 1) / 2 (BYOL, arXiv:2006.07733, Sec. 3.2)."""
        fall = (math.cos(math.pi * min(done, 1.0)) + 1) / 2 if self.of.rise else 1.0
        return 1 - (1 - self.of.momentum) * fall

    @torch.no_grad()
    def follow(self, encoder: nn.Module, projector: nn.Module, done: float = 0.0) -> None:
        """One momentum update towards the query side, in place, when a share `done` of the run is behind."""
        self._moved(encoder, projector, 1 - self.momentum(done))

    @torch.no_grad()
    def step_back(self, encoder: nn.Module, projector: nn.Module, done: float = 0.0) -> None:
        """Undoes `follow` while the query side is as it was, up to a rounding over m; with momentum 0 nothing is left to go back to."""
        share = 1 - self.momentum(done)
        if share < 1:
            self._moved(encoder, projector, -share / (1 - share))

    def _moved(self, encoder: nn.Module, projector: nn.Module, share: float) -> None:
        own: list[Tensor] = [*self.encoder.parameters(), *self.projector.parameters()]
        query: list[Tensor] = [*encoder.parameters(), *projector.parameters()]
        torch._foreach_lerp_(own, query, share)

    @torch.no_grad()
    def forward(self, x: Tensor, present: Tensor | None = None, order: Tensor | None = None) -> Tensor:
        """Keys (n, dim) for view tensors x; zeros where not `present` (n,).

        order: (n x ranks,) in which the rows of all ranks are dealt out to be encoded, the same on every rank; keys come back in the order
        of x. Every rank ends with rank 0's buffers, as the model does in DistributedDataParallel, so that all hold the same.
        """
        here = torch.ones(len(x), dtype=torch.bool, device=x.device) if present is None else present
        if order is None:
            return self._encoded(x, here)
        mine = own_rows(order)
        dealt = gather(self._encoded(gather(x)[mine], gather(here)[mine]))
        return dealt[own_rows(torch.argsort(order))]

    def _encoded(self, x: Tensor, present: Tensor) -> Tensor:
        parts = [self.encoder, self.projector]
        found = masked_forward(lambda rows: {"key": self.projector(self.encoder(rows))}, x, present, parts, self.groups)
        from_first(list(self.buffers()))
        return found["key"]
