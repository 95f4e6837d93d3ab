"""Which views are measured side by side: each alone and all together, or every subset of them; and which of those can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

Group = tuple[str, ...]
CONCAT = "concat"
BESIDE = " + "
MOST = 64


def usual(views: Sequence[str]) -> list[Group]:
    """Every view alone, and all of them side by side."""
    return subsets(views, sizes=(1, len(views)))


def subsets(views: Sequence[str], sizes: Sequence[int] | None = None, most: int = MOST) -> list[Group]:
    """Every subset of the views, of some sizes or of all: smaller ones first, all of them last, at most `most`."""
    whole = tuple(views)
    wanted = sorted(set(sizes or range(1, len(whole) + 1)) - {len(whole)})
    found = list(chain.from_iterable(combinations(whole, size) for size in wanted))
    return [*found[: max(most - 1, len(whole) if len(whole) > 1 else 0)], whole]


def name_of(group: Group, views: Sequence[str]) -> str:
    """`L`, `L + depth`, or `concat` for all of several views."""
    return CONCAT if len(group) == len(views) > 1 else BESIDE.join(group)


def gap(group: Group, labels: Mapping[str, Mapping[str, NDArray[np.int64]]]) -> str:
    """Why a group cannot be measured, "" when it can; labels: split -> view -> (n,), -1 = no label or no view."""
    shared = {split: np.stack([views[view] for view in group]).min(axis=0) for split, views in labels.items()}
    subject = f"has {' and '.join(group)}"
    if len(np.unique(shared["train"][shared["train"] >= 0])) < 2:
        return f"no two classes of the train split have a labelled sample that {subject}"
    return "" if (shared["test"] >= 0).any() else f"no labelled sample of the test split {subject}"
