"""A trained run in memory: its setup, weights and data, and the features that it computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiview import old_import_paths
from multiview.data.store.reading import Store
from multiview.model import MultiviewModel
from multiview.recipe import Setup

if TYPE_CHECKING:
    from multiview.encoder import Encoder
    from multiview.measure.embeddings import Embedded
    from multiview.measure.scores import Score


__getattr__ = old_import_paths.names_of("trained")


@dataclass(frozen=True)
class Trained:
    """A trained run: its encoders and the data it was trained on.

    setup: views, graph, and the encoders with their initial weights. model: the trained weights.
    stopped_by: the number of the signal that stopped the run early, 0 for none. notes: what is
    unusual about a loaded run, such as a damaged newest checkpoint. other_data: the name of the
    data when they are not those that the run was trained on, else empty. group: the column of
    groups that the run was given, see `Recipe`.

    Example:
        >>> trained = mv.load("runs/lab")
        >>> trained.setup.graph.views
        ('L', 'ab')
        >>> trained.embed("test").features["L"].shape[1] == trained.encoder("L").features
        True
    """

    setup: Setup
    model: MultiviewModel
    store: Store
    folder: Path | None = None
    steps: int = 0
    stopped_by: int = 0
    notes: tuple[str, ...] = ()
    other_data: str = ""
    group: str | None = None

    def encoder(self, view: str) -> Encoder:
        """The trained encoder of a view: float32 (n, channels, ...) -> features (n, d)."""
        return self.model.encoder(view)

    @torch.no_grad()
    def features(self, views: Mapping[str, Tensor], layer: str | None = None) -> dict[str, Tensor]:
        """The features (n, d) of view tensors, in evaluation mode and without gradient.

        layer: a layer of the encoders instead of their features.
        """
        self.model.eval()
        return self.model.features(views, layer)

    def embed(self, split: str, store: Store | None = None) -> Embedded:
        """Features and labels of one split of the run's data, or of another store.

        Where an edge fuses views, their fused features stand under the name `fused`.
        """
        from multiview.measure.embeddings import embed
        from multiview.measure.fused import with_fused

        device = next(self.model.parameters()).device
        return with_fused(self.model, embed(store or self.store, split, self.setup.views, self.features, device))

    def evaluate(self) -> list[Score]:
        """Prints and returns kNN and linear probe, beside random weights and raw values."""
        from multiview.measure.evaluate import evaluate
        from multiview.measure.scores import scores_of

        return scores_of(evaluate(self))
