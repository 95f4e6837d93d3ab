"""kNN accuracy while training goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from multiview.measure.embeddings import Embedded, embed, share_buffers
from multiview.measure.knn import weighted_knn
from multiview.measure.labelled_splits import filled_splits, has_two_classes, labelled_positions

if TYPE_CHECKING:
    from multiview.trained import Trained

TRAIN_SAMPLES, TEST_SAMPLES = 4000, 1000


def online_knn(trained: Trained, device: torch.device) -> dict[str, float]:
    """`knn/VIEW` -> accuracy of every view on validation samples, with neighbours in train.

    Chooses up to 1000 labelled validation samples for each view, or test samples when no validation
    sample has a label, and 4000 labelled training samples. Empty when the data has no labels. Every
    process of a run must call it. Afterwards the model is in training mode.
    """
    share_buffers(trained.model)
    splits = [name for name in filled_splits(trained.store) if has_two_classes(trained.store, name)]
    held_out = next((name for name in ("val", "test") if name in splits), None)
    if "train" not in splits or held_out is None:
        return {}
    chosen = {
        split: labelled_positions(trained.store, split, trained.setup.views, most)
        for split, most in (("train", TRAIN_SAMPLES), (held_out, TEST_SAMPLES))
    }
    if not all(map(len, chosen.values())):
        return {}
    train, test = (_embedded(trained, split, positions, device) for split, positions in chosen.items())
    trained.model.train()
    labels = {view: (train.labels_of(view), test.labels_of(view)) for view in trained.setup.views}
    return {
        f"knn/{view}": weighted_knn(train.features[view], train_y, test.features[view], test_y)
        for view, (train_y, test_y) in labels.items()
        if (train_y >= 0).any() and (test_y >= 0).any()
    }


def _embedded(trained: Trained, split: str, positions: NDArray[np.int64], device: torch.device) -> Embedded:
    return embed(trained.store, split, trained.setup.views, trained.features, device, positions=positions)
