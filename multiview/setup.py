"""Completes a setup with what depends on the data: view statistics and sizes of objectives."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from multiview.data.load.absent import reading_others
from multiview.data.load.viewstatistics import with_statistics as view_with_statistics
from multiview.recipe import Setup
from multiview.viewlayer import ViewLayer

if TYPE_CHECKING:
    from torch import Tensor

    from multiview.data.load.dataset import Samples
    from multiview.data.store.reading import Store
    from multiview.objectives.base import Situation


def with_statistics(setup: Setup, store: Store, situation: Situation) -> Setup:
    """The setup with the store's mean and std in its views, and objectives sized for the data.

    Views whose modality has another name in the store read that one, see `reading_others`.
    """
    found = reading_others(setup.views, {each.name: each for each in store.manifest.modalities})
    views = {name: view_with_statistics(view, store, name, found) for name, view in found.items()}
    return replace(setup, views=views, graph=setup.graph.resolved(situation))


def example_tensors(samples: Samples, setup: Setup) -> dict[str, Tensor]:
    """The view tensors of two training samples, as the encoders will get them."""
    batch = samples[0, torch.tensor([0, len(samples) - 1])]
    return ViewLayer(setup.views)(batch)
