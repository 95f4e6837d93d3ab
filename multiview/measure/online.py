"""kNN accuracy while training goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from multiview.measure.embeddings import embed, share_buffers
from multiview.measure.knn import weighted_knn
from multiview.measure.labelled_splits import filled_splits, why_no_labels

if TYPE_CHECKING:
    from multiview.trained import Trained

TRAIN_SAMPLES, TEST_SAMPLES = 4000, 1000


def online_knn(trained: Trained, device: torch.device) -> dict[str, float]:
    """`knn/VIEW` -> accuracy of every view on validation samples, with neighbours in train.

    Uses at most 1000 validation samples, or test samples when there are none, and 4000 training
    samples. Empty when the data has no labels. Every process of a run must call it. Afterwards the
    model is in training mode.
    """
    share_buffers(trained.model)
    splits = filled_splits(trained.store)
    if not {"val", "test"} & set(splits) or why_no_labels(trained.store, splits):
        return {}
    held_out = "val" if "val" in splits else "test"
    views = trained.setup.views
    train = embed(trained.store, "train", views, trained.features, device, most=TRAIN_SAMPLES)
    test = embed(trained.store, held_out, views, trained.features, device, most=TEST_SAMPLES)
    trained.model.train()
    labels = {view: (train.labels_of(view), test.labels_of(view)) for view in views}
    return {
        f"knn/{view}": weighted_knn(train.features[view], train_y, test.features[view], test_y)
        for view, (train_y, test_y) in labels.items()
        if (train_y >= 0).any() and (test_y >= 0).any()
    }
