"""The key encoder of MoCo and BYOL: a momentum copy of an encoder and its projector."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from multiview.batch import sent
from multiview.distributed import from_first, gather, own_rows
from multiview.masked_forward import masked_forward
from multiview.model import set_frozen_to_eval
from multiview.objectives.needs import Keys


class KeyEncoder(nn.Module):
    """A momentum copy of encoder and projector.

    Its parameters follow: theta_k <- m theta_k + (1 - m) theta_q. Buffers are copied once; then its
    batch norm has its own statistics. It runs in training mode, as the original does, and takes no
    gradient. groups: see `Needs`.
    """

    def __init__(self, encoder: nn.Module, projector: nn.Module, keys: Keys, groups: int = 1) -> None:
        super().__init__()
        self.settings, self.groups = keys, groups
        self.encoder = _copied(encoder)
        self.projector = _copied(projector)

    def momentum(self, done: float) -> float:
        """m after a share `done` of the run: constant, or 1 - (1 - m)(cos(pi done) + 1) / 2.

        The second is BYOL's (arXiv:2006.07733, Sec. 3.2).
        """
        fall = (math.cos(math.pi * min(done, 1.0)) + 1) / 2 if self.settings.rise else 1.0
        return 1 - (1 - self.settings.momentum) * fall

    @torch.no_grad()
    def follow(self, encoder: nn.Module, projector: nn.Module, done: float = 0.0) -> None:
        """One momentum update towards the query side, in place, after a share `done` of the run."""
        self._move(encoder, projector, 1 - self.momentum(done))

    @torch.no_grad()
    def step_back(self, encoder: nn.Module, projector: nn.Module, done: float = 0.0) -> None:
        """Undoes `follow`, to within rounding error, while the query side is unchanged.

        With momentum 0 the old values are lost.
        """
        share = 1 - self.momentum(done)
        if share < 1:
            self._move(encoder, projector, -share / (1 - share))

    def _move(self, encoder: nn.Module, projector: nn.Module, share: float) -> None:
        own: list[Tensor] = [*self.encoder.parameters(), *self.projector.parameters()]
        query: list[Tensor] = [*encoder.parameters(), *projector.parameters()]
        torch._foreach_lerp_(own, query, share)

    @torch.no_grad()
    def forward(self, x: Tensor, present: Tensor | None = None, order: Tensor | None = None) -> Tensor:
        """Keys (n, dim) for view tensors x; zeros where not `present` (n,).

        order: (n x processes,) the order in which the rows of all processes are shared out to be
        encoded, the same in every process. Keys come back in the order of x. Afterwards every
        process has the buffers of rank 0, as a model in DistributedDataParallel has.
        """
        present = torch.ones(len(x), dtype=torch.bool) if present is None else present
        if order is None:
            return self._encode(x, present)
        mine, present = own_rows(order), sent(present, x.device)
        shuffled = gather(self._encode(gather(x)[mine], gather(present)[mine]))
        return shuffled[own_rows(torch.argsort(order))]

    def _encode(self, x: Tensor, present: Tensor) -> Tensor:
        parts = [self.encoder, self.projector]
        output = masked_forward(
            lambda rows: {"key": self.projector(self.encoder(rows))}, x, present, parts, self.groups
        )
        from_first(list(self.buffers()))
        return output["key"]


def _copied(module: nn.Module) -> nn.Module:
    """A copy without gradient in training mode; frozen parts are in evaluation mode."""
    copied = copy.deepcopy(module).train()
    set_frozen_to_eval(copied)
    return copied.requires_grad_(False)
