"""The splits and samples of a store that can be measured on by their labels."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from multiview.data.store.reading import Store
from multiview.view import View

HELD_OUT = ("val", "test")
FEW = 10
"""A validation split with fewer samples gives way to a larger test split while a run is watched."""


def filled_splits(store: Store) -> list[str]:
    """Those of `train`, `val` and `test` that hold samples."""
    return [name for name in ("train", "val", "test") if name in store.manifest.splits and store.count(name)]


def watched_splits(store: Store, among: Collection[str] = HELD_OUT) -> list[str]:
    """The splits on which a run is watched while it trains, the preferred one first.

    Validation samples come before test samples, unless there are fewer than `FEW` of them and more
    test samples. Training samples are watched only in a store without any held-out sample.

    Args:
        store: the data.
        among: the held-out splits that may be used.
    """
    counts = {name: store.count(name) for name in filled_splits(store)}
    held = [name for name in HELD_OUT if name in counts]
    if counts.get("val", 0) < min(FEW, counts.get("test", 0)):
        held.reverse()
    return [name for name in held or counts if name in among or not held]


def why_no_labels(store: Store, splits: list[str]) -> str:
    """The reason why kNN and the linear probe cannot be measured, "" when they can."""
    missing = [name for name in ("train", "test") if name not in splits]
    if missing:
        return f"the store has no {missing[0]} split (it has {', '.join(store.manifest.splits)})."
    for name in ("train", "test"):
        if not has_two_classes(store, name):
            return f"kNN and the linear probe need labels of two classes or more in the {name} split."
    return ""


def has_two_classes(store: Store, split: str) -> bool:
    """Whether the samples of a split have labels of two classes or more."""
    if not store.manifest.classes:
        return False
    labels = store.labels[store.rows(split)]
    labels = labels[labels >= 0]
    return len(labels) > 0 and bool((labels != labels[0]).any())


def labelled_positions(
    store: Store, split: str, views: Mapping[str, View], most: int | None = None
) -> NDArray[np.int64]:
    """The positions in a split, ascending, of samples that have a label and one view or more.

    Samples without a label are left out before `most` applies, so that they take no memory and no
    place of a labelled sample.

    Args:
        store: the data.
        split: its split.
        views: name -> view.
        most: for each view, at most so many samples that have it, spread evenly (None = all).
    """
    rows = store.rows(split)
    labelled = store.labels[rows] >= 0
    modalities = dict.fromkeys(view.modality for view in views.values())
    usable = [np.flatnonzero(labelled & store.present(name)[rows]) for name in modalities]
    return np.unique(np.concatenate([spread_evenly(positions, most) for positions in usable]))


def spread_evenly(positions: NDArray[np.int64], most: int | None) -> NDArray[np.int64]:
    """At most `most` of the positions, evenly spaced, the first and the last included."""
    if most is None or len(positions) <= most:
        return positions
    return positions[np.linspace(0, len(positions) - 1, most).astype(np.int64)]
