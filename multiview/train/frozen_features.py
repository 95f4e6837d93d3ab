"""The features of a frozen view: what its encoder gave once, read by the index of a sample."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class FrozenFeatures:
    """Features and presence of all training samples for one view.

    table: float32 (samples, features + 1) on the CPU; the last column is 1 where the sample has the
    view, else 0.
    """

    table: Tensor

    def rows(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, features) and presence (n,) of the samples at `index`; all on the CPU."""
        rows = self.table[index]
        return rows[:, :-1].contiguous(), rows[:, -1] > 0
