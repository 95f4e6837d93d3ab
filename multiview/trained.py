"""A trained run in memory: its setup, its weights, its data, and how to get features out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiview import moved
from multiview.data.store.reading import Store
from multiview.model import MultiviewModel
from multiview.recipe import Setup

if TYPE_CHECKING:
    from multiview.encoder import Encoder
    from multiview.measure.embeddings import Embedded
    from multiview.measure.scores import Score


__getattr__ = moved.names_of("trained")


@dataclass(frozen=True)
class Trained:
    """Encoders that were trained together, and the run they come from.

    setup: views, graph, and the encoders with the weights they started from. model: the trained weights. store: the data.
    stopped_by: the signal that ended the run early, 0 for none.
    """

    setup: Setup
    model: MultiviewModel
    store: Store
    folder: Path | None = None
    steps: int = 0
    stopped_by: int = 0

    def encoder(self, view: str) -> Encoder:
        """The trained encoder of a view: float32 (n, channels, h, w) -> features (n, width)."""
        return self.model.encoder(view)

    @torch.no_grad()
    def features(self, views: Mapping[str, Tensor], layer: str | None = None) -> dict[str, Tensor]:
        """Features (n, width) of view tensors, in evaluation mode, without gradient."""
        self.model.eval()
        return self.model.features(views, layer)

    def embed(self, split: str, store: Store | None = None) -> Embedded:
        """Features of a split of the run's own data, or of another store with the same modalities, with labels."""
        from multiview.measure.embeddings import embed

        device = next(self.model.parameters()).device
        return embed(store or self.store, split, self.setup.views, self.features, device)

    def evaluate(self) -> list[Score]:
        """Measures kNN and linear probe on the store's splits beside random weights and raw pixels; prints the table, returns its rows."""
        from multiview.measure.evaluate import evaluate
        from multiview.measure.scores import scores_of

        return scores_of(evaluate(self))
