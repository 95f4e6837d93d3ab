"""Which views are measured side by side: each alone and all together, or every subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from multiview.measure.rows import Group

MOST = 64


def each_and_all(views: Sequence[str]) -> list[Group]:
    """Every view alone, and all of them side by side."""
    return subsets(views, sizes=(1, len(views)))


def subsets(views: Sequence[str], sizes: Sequence[int] | None = None, most: int = MOST) -> list[Group]:
    """Every subset of the views: smaller ones first, all views last.

    Args:
        views: their names.
        sizes: only subsets with these numbers of views (None = every size).
        most: how many subsets to give; single views are never left out.
    """
    whole = tuple(views)
    wanted = sorted(set(sizes or range(1, len(whole) + 1)) - {len(whole)})
    parts = list(chain.from_iterable(combinations(whole, size) for size in wanted))
    return [*parts[: max(most - 1, len(whole) if len(whole) > 1 else 0)], whole]


def why_not_measurable(group: Group, labels: Mapping[str, Mapping[str, NDArray[np.int64]]]) -> str:
    """The reason why a group of views cannot be measured, "" when it can.

    labels: split -> view -> (n,), with -1 where a sample lacks the label or the view.
    """
    shared = {split: np.stack([views[view] for view in group]).min(axis=0) for split, views in labels.items()}
    subject = f"has {' and '.join(group)}"
    if len(np.unique(shared["train"][shared["train"] >= 0])) < 2:
        return f"no two classes of the train split have a labelled sample that {subject}"
    return "" if (shared["test"] >= 0).any() else f"no labelled sample of the test split {subject}"
