"""The splits of a store that can be measured on."""

from __future__ import annotations

from multiview.data.store.reading import Store


def filled_splits(store: Store) -> list[str]:
    """Those of `train`, `val` and `test` that hold samples."""
    return [name for name in ("train", "val", "test") if name in store.manifest.splits and len(store.rows(name))]


def why_no_labels(store: Store, splits: list[str]) -> str:
    """The reason why kNN and the linear probe cannot be measured, "" when they can."""
    missing = [name for name in ("train", "test") if name not in splits]
    if missing:
        return f"the store has no {missing[0]} split (it has {', '.join(store.manifest.splits)})."
    for name in ("train", "test"):
        if len(set(store.labels[store.rows(name)].tolist()) - {-1}) < 2:
            return f"kNN and the linear probe need labels of two classes or more in the {name} split."
    return ""
