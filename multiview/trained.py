"""A trained run in memory: its setup, its weights, its data, and how to get features out of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from multiview.data.store.reading import Store
from multiview.errors import MultiviewError
from multiview.model import MultiviewModel
from multiview.recipe import Setup

if TYPE_CHECKING:
    from multiview.encoder import Encoder
    from multiview.measure.embeddings import Embedded
    from multiview.measure.scores import Score


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
        from multiview.measure.run import evaluate

        return evaluate(self)


def load(run: str | Path, data: str | None = None) -> Trained:
    """The run in a folder: rebuilt from its recipe and config, with the weights of its newest whole checkpoint.

    data: another store or folder than the one it was trained on. Raises MultiviewError when the folder is no run, when its recipe cannot
    be found, or when no checkpoint is whole.
    """
    from multiview.data.load.open_data import open_data
    from multiview.launch import recipe_of
    from multiview.objectives.base import Situation
    from multiview.run import settled
    from multiview.train.checkpoint import newest
    from multiview.train.runfolder import CHECKPOINTS, environment

    folder = Path(run)
    facts = environment(folder)["data"]
    recipe = recipe_of(folder)
    store = open_data(data or (facts["path"] if Path(facts["path"]).exists() else facts["spec"]), Path(recipe.cache))
    torch.manual_seed(recipe.seed)
    _, tensors, state, _ = newest(folder / CHECKPOINTS)
    setup = settled(recipe.build(), store, Situation(samples=state["samples"], per_rank=recipe.train.batch))
    trained = Trained(setup, MultiviewModel(_copied(setup), setup.graph), store, folder, state["step"])
    try:
        trained.model.load_state_dict(tensors["model"])
    except RuntimeError as error:
        raise MultiviewError(
            f"the weights in {folder} do not fit its recipe, which has changed since: {error}"
        ) from error
    trained.model.eval()
    return trained


def _copied(setup: Setup) -> dict[str, Encoder | str]:
    import copy

    return {name: copy.deepcopy(encoder) for name, encoder in setup.encoders.items()}
