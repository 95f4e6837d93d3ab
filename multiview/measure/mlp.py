"""The MLP probe: one hidden layer on frozen features, for what a linear probe cannot read.

Labels that depend on two views together (synergy) are such: a linear probe of views side by side
stays at chance where a hidden layer reads them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

HIDDEN, EPOCHS, BATCH, PATIENCE = 256, 100, 128, 15
LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-3


class MlpProbe:
    """A hidden layer of 256 units, trained by AdamW, stopped by the loss on held-out rows.

    Args:
        x: (n, d) float32.
        y: classes (n,), yes-no labels (n, m) or standardised numbers (n,) as float.
        outputs: how many columns the probe has.
        held: rows that stop the training, as (x, y).
    """

    def __init__(
        self,
        x: NDArray[np.float32],
        y: NDArray[Any],
        outputs: int,
        held: tuple[NDArray[np.float32], NDArray[Any]],
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.net = nn.Sequential(nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, outputs))
        self._train(torch.from_numpy(x), _target(y), torch.from_numpy(held[0]), _target(held[1]))

    def _train(self, x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor) -> None:
        optimiser = torch.optim.AdamW(self.net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        order, best, since = torch.Generator().manual_seed(0), float("inf"), 0
        kept = {name: value.clone() for name, value in self.net.state_dict().items()}
        for _ in range(EPOCHS):
            for index in torch.randperm(len(x), generator=order).split(BATCH):
                optimiser.zero_grad()
                _loss(self.net(x[index]), y[index]).backward()
                optimiser.step()
            with torch.no_grad():
                loss = float(_loss(self.net(held_x), held_y))
            since += 1
            if loss < best:
                best, since = loss, 0
                kept = {name: value.clone() for name, value in self.net.state_dict().items()}
            if since >= PATIENCE:
                break
        self.net.load_state_dict(kept)

    @torch.no_grad()
    def scores(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, outputs)."""
        found: NDArray[np.float32] = self.net(torch.from_numpy(x)).numpy()
        return found


def _target(y: NDArray[Any]) -> Tensor:
    kept = torch.from_numpy(np.ascontiguousarray(y))
    return kept.float() if y.ndim == 2 or kept.is_floating_point() else kept


def _loss(scores: Tensor, y: Tensor) -> Tensor:
    if y.ndim == 2:
        return F.binary_cross_entropy_with_logits(scores, y)
    return F.mse_loss(scores[:, 0], y) if y.is_floating_point() else F.cross_entropy(scores, y)
