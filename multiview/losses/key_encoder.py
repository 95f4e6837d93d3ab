"""`KeyEncoder`: the slowly following copy that makes the keys of MoCo and BYOL."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from multiview import require
from multiview.counter_rng import permutation
from multiview.distributed import world
from multiview.memory import key_encoder
from multiview.objectives.needs import Keys


class KeyEncoder(key_encoder.KeyEncoder):
    """A momentum copy of an encoder: theta_k <- m theta_k + (1 - m) theta_q at every `update`.

    Call `update` after the optimiser's step. Batch norm has its own statistics and runs in training
    mode. The copy gets no gradient, and its weights are in `state_dict`. The encoder that it
    follows is not: keep that in your model.

    Args:
        encoder: the module that learns, with its projector, from x (n, ...) to embeddings (n, d).
        momentum: m, at least 0 and less than 1.
        steps: of the whole run. m then rises to 1 along a cosine, as in BYOL (arXiv:2006.07733,
            Sec. 3.2). None = m stays, as in MoCo (arXiv:1911.05722).
        shuffle: with several processes, encode the rows of all processes in a new random order, so
            that a query and its key do not share batch statistics (MoCo's ShuffleBN).
        seed: of that order.

    Example:
        >>> import torch
        >>> encoder = torch.nn.Linear(3, 2)
        >>> keys = mv.KeyEncoder(encoder, momentum=0.99)
        >>> keys(torch.ones(4, 3)).shape, keys(torch.ones(4, 3)).requires_grad
        (torch.Size([4, 2]), False)
        >>> keys.update()  # after optimizer.step()
    """

    def __init__(
        self,
        encoder: nn.Module,
        momentum: float = 0.999,
        *,
        steps: int | None = None,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        require.fraction("KeyEncoder", momentum=momentum)
        require.positive("KeyEncoder", steps=1 if steps is None else steps)
        super().__init__(encoder, nn.Identity(), Keys(momentum=momentum, rise=steps is not None, shuffle=shuffle))
        self.steps, self.seed, self.updates = steps, seed, 0
        self._followed = (encoder,)  # a tuple, so that it is no part of this module

    def update(self) -> None:
        """One momentum step towards the encoder, after the optimiser's step."""
        self.updates += 1
        self.follow(self._followed[0], self.projector, self.updates / self.steps if self.steps else 0.0)

    def forward(self, x: Tensor, present: Tensor | None = None, order: Tensor | None = None) -> Tensor:
        """Keys (n, d) of x, without gradient; zeros where not `present` (n,).

        order: see `shuffle` (None = drawn by `seed` and the number of updates).
        """
        if order is None and self.settings.shuffle and world() > 1:
            drawn = permutation(self.seed, self.updates + 1, "shuffle", len(x) * world())
            order = torch.from_numpy(drawn).to(x.device)
        return super().forward(x, present, order)

    def get_extra_state(self) -> Tensor:
        """The number of updates."""
        return torch.tensor(self.updates)

    def set_extra_state(self, state: Any) -> None:
        """Sets the number of updates."""
        self.updates = int(state)
