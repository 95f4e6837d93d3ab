"""The first numbers of samples of a table, with the names of their columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from multiview.data.store.reading import Store

COLUMNS = 12
"""Most columns that are shown."""


def numbers(store: Store, modality: str, rows: Iterable[tuple[int, int]]) -> dict[str, Any]:
    """`columns`: their names; `more`: how many are left out; `rows`: number of a sample -> values.

    rows: (number of the sample, its row in the store).
    """
    kind, there = store.modality(modality), store.present(modality)
    width = kind.shape[0] if kind.shape else 1
    names = [*kind.names, *(str(i) for i in range(len(kind.names), width))]
    values = {str(number): _values(store, modality, row) for number, row in rows if there[row]}
    return {"columns": names[:COLUMNS], "more": max(width - COLUMNS, 0), "rows": values}


def _values(store: Store, modality: str, row: int) -> list[float | None]:
    sample = np.asarray(store.read([row], modality)[0]).reshape(-1)[:COLUMNS]
    return [float(f"{x:.4g}") if np.isfinite(x) else None for x in sample.tolist()]
