"""Frozen views: which are encoded once, and what their encoder gave, by the index of a sample."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from multiview.model import needs_of
from multiview.recipe import Setup


def views_encoded_once(setup: Setup) -> tuple[str, ...]:
    """The views with a frozen encoder. Not those of which an edge reads keys.

    The key encoder of a view follows its encoder and needs the view itself at each step.
    """
    with_keys = {view for view, needs in needs_of(setup.graph) if needs.keys is not None}
    owner = {view: name if isinstance(name, str) else view for view, name in setup.encoders.items()}
    frozen = {view for view, tuning in setup.tuning.items() if tuning.train == "frozen"}
    return tuple(view for view in setup.graph.views if owner[view] in frozen and view not in with_keys)


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
